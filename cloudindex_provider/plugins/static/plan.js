// The plan of the last dry run: what a run would do, key by key, and the button that has exactly this done.

import { startRun, usePoll } from "./api.js";
import { Search } from "./keys.js";
import { Foreign, Moment, number, ObjectKey, plural, reasonWords, size } from "./text.js";
import { DataTable, Empty, Failure, Loading, Note, RunLink, Said, Tabs, To, usePlace } from "./widgets.js";

const { createElement: h, useState } = globalThis.React;
const { Box, Button, Code, HStack, Stack, Text } = globalThis.ChakraUI;

const ACTIONS = {
  delete: ["Delete", "Documents whose object S3 lists no more"], keep: ["Keep", "S3 lists their objects no more, and on_removed is keep"],
  skip: ["Skip", "Newly left out by the selection"], upload: ["Upload", "New or changed objects"],
};
const KINDS = { changed: "changed", new: "new", removed: "gone from S3", skipped: "" };

export function Plan({ sync }) {
  const { data, error, reload } = usePoll(`syncs/${sync.id}/plan`, {}, 5);
  if (!data) return error ? h(Failure, { error, reload }) : h(Loading, { what: "the plan" });
  const { plan, now } = data;
  if (!plan) return h(Empty, { title: "No plan yet" }, "A dry run (dry_run) shows here what a run would do, key by key, before anything is done.");
  return h(Stack, { gap: 4 },
    error ? h(Failure, { error, reload }) : null,
    h(Verdict, { now, plan }),
    h(Start, { key: plan.id, plan, reload, sync }),
    h(PlannedKeys, { key: `keys ${plan.id}`, plan, sync }));
}

function Verdict({ plan, now }) {
  const total = (action) => plan.totals.find((one) => one.action === action) ?? { bytes: 0, keys: 0 };
  const [uploads, deletes] = [total("upload"), total("delete")];
  const title = uploads.keys || deletes.keys
    ? `A run would upload ${plural(uploads.keys, "object")} (${size(uploads.bytes)}) and delete ${plural(deletes.keys, "document")}`
    : "A run would change nothing";
  const [status, said] = plan.ran ? [plan.is_done ? "success" : "info", [`It ${plan.is_done ? "was" : "is being"} done by the run `, h(RunLink, { dagId: plan.ran.dag_id, key: "run", runId: plan.ran.run_id }), "."]]
    : plan.overtaken ? ["warning", [plan.overtaken, " Make a new plan."]]
    : ["info", ["Nothing is done until a run does it."]];
  return h(Note, { status, title },
    h(Stack, { gap: 1 },
      h(Text, { as: "div" }, ...said),
      plan.held && deletes.keys ? h(Text, { as: "div" }, "The deletes would be held until a person approves them: ", h(Foreign, { mono: false, text: plan.held }), ".") : null,
      h(Text, { as: "div" }, "Planned ", h(Moment, { at: plan.made_at, now }), plan.made_by.dag_id ? [" by the run ", h(RunLink, { dagId: plan.made_by.dag_id, key: "run", runId: plan.made_by.run_id })] : plan.made_by.run_id ? " by a command" : " by a DAG that you may not read", ". Hash ", h(Code, { "data-plan-hash": true }, plan.hash))));
}

function Start({ plan, sync, reload }) {
  const [said, setSaid] = useState();
  const [busy, setBusy] = useState(false);
  if (plan.ran || plan.overtaken) return null;
  if (!plan.start) return h(Text, { color: "fg.muted" }, plan.cant_start);
  const start = async () => {
    setBusy(true);
    try {
      const run = await startRun(plan.start.dag_id, plan.start.conf);
      setSaid({ hint: h(Text, { as: "div" }, "It looks at S3 once more, and does nothing if that has changed. ", h(RunLink, { dagId: run.dag_id, runId: run.dag_run_id }, "See the run")), ok: true, text: sync.is_paused ? "A run is queued; it begins when the DAG isn't paused any more." : "A run of exactly this plan has been started." });
    } catch (error) {
      setSaid({ hint: error.hint, ok: false, text: error.message });
      setBusy(false);
    }
    reload();
  };
  return h(Stack, { gap: 3 },
    h(HStack, { gap: 3, wrap: "wrap" },
      h(Button, { disabled: busy, onClick: () => void start(), size: "sm" }, "Run exactly this"),
      h(Text, { color: "fg.muted", fontSize: "sm" }, "Starts the DAG bound to this hash: it does this plan, or nothing where S3 has changed since.")),
    h(Said, { said }));
}

function PlannedKeys({ plan, sync }) {
  const { link, params } = usePlace();
  const shown = plan.totals.map((one) => one.action);
  const action = shown.includes(params.get("action")) ? params.get("action") : shown[0];
  const prefix = params.get("prefix") ?? undefined;
  const after = params.get("after") ?? undefined;
  const path = action ? `syncs/${sync.id}/plan/keys` : null;
  const { data, error, reload } = usePoll(path, { action, after, limit: 50, plan: plan.id, prefix }, 3600);
  if (!action) return null;
  const total = plan.totals.find((one) => one.action === action);
  const tabs = plan.totals.map((one) => ({
    current: one.action === action, name: `${ACTIONS[one.action][0]} (${number(one.keys)})`, to: link({ action: one.action, after: undefined, prefix: undefined }),
  }));
  return h(Stack, { gap: 3 },
    h(Tabs, { items: tabs, label: "What would be done" }),
    h(Text, { color: "fg.muted" }, `${ACTIONS[action][1]}: ${plural(total.keys, "key")}, ${size(total.bytes)}.`,
      total.kept < total.keys ? ` The first ${number(total.kept)} can be looked at here; airflow cloudindex plan lists them all.` : ""),
    h(Search, { key: action, placeholder: sync.prefix }),
    error ? h(Failure, { error, reload }) : null,
    !data ? (error ? null : h(Loading, { what: "keys" }))
      : data.keys.length === 0 ? h(Empty, { title: "No such key" }, "No key of this part of the plan fits.")
      : h(DataTable, {
        columns: [{ name: "Key", text: true }, { name: action === "skip" ? "Why" : "What it is", width: "18rem" }, { end: true, name: "Size", width: "8rem" }], label: "Keys of the plan",
        rows: data.keys.map((one) => ({
          cells: [h(To, { to: link({ key: one.key }) }, h(ObjectKey, { text: one.key })), one.reason ? h(Foreign, { mono: false, text: reasonWords("skipped", one.reason) }) : KINDS[one.kind] ?? one.kind, size(one.size)],
          key: one.key,
        })),
      }),
    h(HStack, { gap: 4 },
      after ? h(To, { to: link({ after: undefined }) }, "First page") : null,
      data?.after ? h(To, { to: link({ after: data.after }) }, "Next page") : null));
}
