// One sync: what isn't in step and why, its keys, its runs, and the deletes that wait for a person.

import { post, usePoll } from "./api.js";
import { RunChart } from "./charts.js";
import { Held } from "./held.js";
import { Keys, Search } from "./keys.js";
import { Plan } from "./plan.js";
import { duration, Foreign, Moment, NextRun, number, ObjectKey, plural, quota, reasonWords, size } from "./text.js";
import { DagLink, DataTable, Empty, Failure, Level, Loading, Note, Numbers, RunLink, Said, Status, Tabs, Title, To, usePlace } from "./widgets.js";

const { createElement: h, useState } = globalThis.React;
const { Box, Button, HStack, Stack, Text } = globalThis.ChakraUI;

export function Sync({ id, runId, home }) {
  const { link, params } = usePlace();
  const { data, error, reload } = usePoll(`syncs/${id}`, {}, (found) => (found.sync.is_running ? 3 : 15));
  const back = home ? h(Box, null, h(To, { to: home }, "All syncs")) : null;
  if (!data) return h(Stack, { gap: 4 }, back, error ? h(Failure, { error, reload }) : h(Loading, { what: "the sync" }));
  const { sync, hold, now } = data;
  const { plan } = data;
  const isPlan = plan && (runId ? plan.run_id === runId : !sync.last_run); // of a dry run's own tab, or all there is
  const view = params.get("view") ?? (isPlan ? "plan" : hold ? "held" : runId ? "runs" : "groups");
  const at = (name) => link({ action: undefined, after: undefined, before: undefined, descending: undefined, sort: undefined, key: undefined, prefix: undefined, reason: undefined, status: undefined, view: name });
  const tabs = [
    ["groups", "Not in step"], ["keys", "All keys"], ["runs", "Runs"], ...(plan ? [["plan", "Plan"]] : []), ...(hold ? [["held", `Held deletes (${number(hold.removed)})`]] : []),
  ].map(([name, words]) => ({ current: view === name, name: words, to: at(name) }));
  return h(Stack, { gap: 5 },
    back,
    h(Stack, { gap: 1 },
      h(HStack, { gap: 3, wrap: "wrap" },
        h(Title, { place: `sync ${id}` }, h(Foreign, { text: `s3://${sync.bucket}/${sync.prefix}` })),
        h(Level, { level: sync.level }, sync.headline),
        sync.is_running && sync.level !== "busy" ? h(Text, { color: "fg.muted" }, "a run is at work") : null,
        sync.eta_seconds ? h(Text, { color: "fg.muted" }, `about ${duration(sync.eta_seconds)} left`) : null),
      h(Text, { as: "div", color: "fg.muted" }, "into CloudIndex project ", h(Foreign, { text: sync.project_id }),
        sync.dag_ids.length ? [", by ", ...sync.dag_ids.map((dag, place) => h("span", { key: dag }, place ? ", " : "", h(DagLink, { dagId: dag })))] : sync.former_dag_ids.length ? [", by ", h(Foreign, { key: "former", mono: false, text: sync.former_dag_ids.join(", ") }), ", which Airflow has no more"] : ", by no DAG that Airflow has", quota(sync.budget).map(([name, words]) => `. ${name}: ${words}`))),
    error ? h(Failure, { error, reload }) : null,
    h(Numbers, { items: [
      ["Objects", sync.objects], ["Indexed", sync.indexed], ["On its way", sync.underway, "busy"], ["Failed", sync.failed, "error"],
      ["Quarantined", sync.quarantined, "warning"], ["Skipped", sync.skipped],
      ["Listed whole", h(Moment, { at: sync.last_listing_at, now })],
      ["Next run", h(NextRun, { now, sync })],
    ] }),
    h(Tabs, { items: tabs, label: "Views of the sync" }),
    view === "keys" ? h(Keys, { sync })
      : view === "runs" ? h(Runs, { now, runId, sync })
      : view === "drift" ? h(Drift, { drifted: data.drifted, sync })
      : view === "plan" ? h(Plan, { sync })
      : view === "held" && hold ? h(Held, { hold, now, reload, sync })
      : h(Groups, { data, link, reload, runId }));
}

function Groups({ data, link, reload }) {
  const { sync, groups, drifted, audited_at: audited, now } = data;
  const [said, setSaid] = useState();
  const [busy, setBusy] = useState(false);
  const retry = async (all) => {
    setBusy(true);
    try {
      setSaid({ ok: true, text: (await post(`syncs/${sync.id}/retry`, { all })).message });
    } catch (error) {
      setSaid({ hint: error.hint, ok: false, text: error.message });
    }
    setBusy(false);
    reload();
  };
  const allOf = (keys) => (keys === 1 ? "1" : `all ${number(keys)}`);
  const button = (status, words) =>
    sync[status] ? h(Button, { disabled: busy, key: status, onClick: () => void retry(status), size: "sm" }, words) : null;
  return h(Stack, { gap: 4 },
    sync.may_act && (sync.failed || sync.quarantined) ? h(HStack, { gap: 2, wrap: "wrap" }, button("failed", `Retry ${allOf(sync.failed)} failed`), button("quarantined", `Release ${allOf(sync.quarantined)} quarantined`)) : null,
    h(Said, { said }),
    groups.length === 0
      ? h(Empty, { title: sync.last_listing_at ? "Every key is in step" : "Nothing is known yet" }, sync.last_listing_at ? "S3 and CloudIndex have the same." : "No run has listed the prefix to its end.")
      : h(DataTable, {
        columns: [{ name: "Status", width: "9rem" }, { end: true, name: "Keys", width: "7rem" }, { name: "Reason", text: true, width: "40%" }, { name: "What to do", text: true }, { name: "List", width: "8rem" }],
        label: "What isn't in step", minWidth: "56rem",
        rows: groups.map((one) => ({
          cells: [
            h(Status, { status: one.status }), `${one.at_least ? "over " : ""}${number(one.keys)}`,
            h(Foreign, { mono: false, text: reasonWords(one.status, one.example) }), one.remedy,
            h(To, { "aria-label": `Show the ${plural(one.keys, "key")}: ${one.status}`, to: link({ after: undefined, prefix: undefined, reason: one.reason, status: one.status, view: "keys" }) }, "Show keys"),
          ],
          key: `${one.status} ${one.reason}`,
        })),
      }),
    audited ? h(Text, { as: "div", color: "fg.muted" }, "Last compared with the project ", h(Moment, { at: audited, now }),
      drifted === null ? "." : drifted === 0 ? ": nobody else had changed or deleted a document there." : [
        `: ${plural(drifted, "document")} that somebody else had changed or deleted there ${drifted === 1 ? "was" : "were"} uploaded again. `,
        h(To, { key: "drift", to: link({ after: undefined, prefix: undefined, view: "drift" }) }, "Show which")]) : null);
}

// What the last comparison with the project has found, until the next one.
function Drift({ sync, drifted }) {
  const { link, params } = usePlace();
  const after = params.get("after") ?? undefined;
  const { data, error, reload } = usePoll(`syncs/${sync.id}/drift`, { after, limit: 50, prefix: params.get("prefix") ?? undefined }, 60);
  return h(Stack, { gap: 3 },
    h(Text, { color: "fg.muted" }, "Documents that somebody else had changed or deleted in CloudIndex, as the last comparison with the project found; they were uploaded again.",
      data && drifted > data.most ? ` The first ${number(data.most)} of ${number(drifted)} are kept.` : ""),
    h(Search, { placeholder: sync.prefix }),
    error ? h(Failure, { error, reload }) : null,
    !data ? (error ? null : h(Loading, { what: "keys" }))
      : data.keys.length === 0 ? h(Empty, { title: "No such key" }, "The last comparison has found none that fits.")
      : h(DataTable, {
        columns: [{ name: "Key", text: true }, { name: "What was found", text: true, width: "24rem" }], label: "Documents that had drifted",
        rows: data.keys.map((one) => ({ cells: [h(To, { to: link({ key: one.key }) }, h(ObjectKey, { text: one.key })), h(Foreign, { mono: false, text: one.reason })], key: one.key })),
      }),
    h(HStack, { gap: 4 },
      after ? h(To, { to: link({ after: undefined }) }, "First page") : null,
      data?.after ? h(To, { to: link({ after: data.after }) }, "Next page") : null));
}

const RUN_COLUMNS = [
  { name: "Started", width: "10rem" }, { name: "Run", text: true }, { name: "State" }, { end: true, name: "Duration" }, { end: true, name: "Listed" }, { end: true, name: "New" },
  { end: true, name: "Changed" }, { end: true, name: "Indexed" }, { end: true, name: "Failed" }, { end: true, name: "Left" }, { end: true, name: "Deleted" }, { end: true, name: "Uploaded" },
];

function Runs({ sync, now, runId }) {
  const { link, params } = usePlace();
  const before = params.get("before") ?? undefined;
  const { data, error, reload } = usePoll(`syncs/${sync.id}/runs`, { before, limit: 30 }, sync.is_running ? 3 : 30);
  if (!data) return error ? h(Failure, { error, reload }) : h(Loading, { what: "runs" });
  const count = (run, name) => number(run.counts[name] ?? 0);
  return h(Stack, { gap: 5 },
    h(RunChart, { runs: [...data.runs].reverse() }),
    h(DataTable, {
      columns: RUN_COLUMNS, label: "Runs", minWidth: "72rem",
      rows: data.runs.map((run) => ({
        "aria-current": run.run_id === runId ? "true" : undefined,
        bg: run.run_id === runId ? "bg.info" : undefined,
        cells: [
          h(Moment, { at: run.started_at, now }), run.state || !run.run_id ? h(RunLink, { dagId: run.dag_id, runId: run.run_id }) : h(Foreign, { mono: false, text: run.run_id }), // Airflow has it no more
          run.state ? h(Level, { level: { failed: "error", success: "ok" }[run.state] ?? "busy" }, run.state) : run.finished_at ? "ended" : "not ended",
          duration(run.seconds), count(run, "listed"), count(run, "new"), count(run, "changed"), count(run, "indexed"),
          number((run.counts.failed ?? 0) + (run.counts.quarantined ?? 0)), count(run, "deferred"), count(run, "deleted"), size(run.counts.bytes ?? 0),
        ],
        key: run.id,
      })),
    }),
    data.runs.some((run) => run.deletes_blocked) ? h(Note, { status: "info", title: "Deletes weren't allowed in some of these runs" },
      h(Stack, { as: "ul", gap: 0, pl: 4 }, [...new Set(data.runs.map((run) => run.deletes_blocked).filter(Boolean))].map((why) => h("li", { key: why }, h(Foreign, { mono: false, text: why }))))) : null,
    h(HStack, null,
      before ? h(To, { to: link({ before: undefined }) }, "Newest runs") : null,
      data.before ? h(To, { to: link({ before: data.before }) }, "Older runs") : null));
}
