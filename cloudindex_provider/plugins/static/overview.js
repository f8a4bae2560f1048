// Every sync as a row: is everything in step? First those that need a person.

import { usePoll } from "./api.js";
import { Sparkline } from "./charts.js";
import { duration, Foreign, Moment, NextRun, number, plural, quota } from "./text.js";
import { DataTable, DagLink, Empty, Failure, Level, Loading, Note, Numbers, RunLink, Title, To, usePlace } from "./widgets.js";

const { createElement: h } = globalThis.React;
const { Box, Button, HStack, Stack, Text } = globalThis.ChakraUI;

const PAGE = 50;
const COLUMNS = [
  { name: "State", width: "14rem" }, { name: "Sync", width: "22rem" }, { end: true, name: "Objects" }, { end: true, name: "Indexed" },
  { end: true, name: "On its way" }, { end: true, name: "Failed" }, { end: true, name: "Quarantined" }, { name: "Last run" },
  { name: "Next run" }, { name: "Last 30 runs" },
];

export function Overview({ dagId }) {
  const { go, link, params } = usePlace();
  const offset = Number(params.get("offset") ?? 0) || 0;
  const { data, error, reload } = usePoll("syncs", { dag_id: dagId, limit: PAGE, offset }, (found) => (found.totals.running ? 3 : 15));
  if (!data) return error ? h(Failure, { error, reload }) : h(Loading, { what: "syncs" });
  return h(Stack, { gap: 5 },
    h(Title, { place: "overview" }, "CloudIndex"),
    error ? h(Failure, { error, reload }) : null,
    data.total === 0 ? h(None, { dagId }) : h(Found, { data, link }),
    data.total > PAGE || offset ? h(HStack, null,
      h(Button, { disabled: offset === 0, onClick: () => go({ offset: Math.max(0, Math.min(offset, data.total) - PAGE) || undefined }), size: "sm", variant: "outline" }, "Previous"),
      h(Text, null, data.syncs.length ? `${number(offset + 1)} to ${number(offset + data.syncs.length)} of ${number(data.total)}` : `There are ${number(data.total)}`),
      h(Button, { disabled: offset + PAGE >= data.total, onClick: () => go({ offset: offset + PAGE }), size: "sm", variant: "outline" }, "Next")) : null);
}

function None({ dagId }) {
  return dagId
    ? h(Empty, { title: "This DAG has no sync" }, "Nothing that it has run mirrors S3 into CloudIndex. A sync shows here after its first run.")
    : h(Empty, { title: "No sync yet" }, "A sync shows here when a DAG with s3_to_cloudindex or S3ToCloudIndexOperator has run, to everybody who may read that DAG.");
}

function Found({ data, link }) {
  const { syncs, need_person: needed, total, totals, budget, now } = data;
  const isInStep = totals.in_step === total;
  return h(Stack, { gap: 5 },
    needed
      ? h(Note, { status: "warning", title: `${plural(needed, "sync")} of ${number(total)} ${needed === 1 ? "needs" : "need"} a person` })
      : h(Note, { status: isInStep ? "success" : "info", title: isInStep ? "Everything is in step" : "Nothing needs a person" }),
    h(Numbers, { items: [
      ["Syncs", total], ["Objects", totals.objects], ["Indexed", totals.indexed], ["On its way", totals.underway, "busy"],
      ["Failed", totals.failed, "error"], ["Quarantined", totals.quarantined, "warning"], ...quota(budget),
    ] }),
    h(DataTable, { columns: COLUMNS, label: "Syncs", minWidth: "78rem", rows: syncs.map((one) => ({ cells: cells(one, link, now, !budget), "data-sync": one.id, key: one.id })) }));
}

function cells(one, link, now, withQuota) {
  return [
    h(Stack, { gap: 1 },
      h(Box, null, h(Level, { level: one.level }, one.headline)),
      one.is_running && one.level !== "busy" ? h(Text, { color: "fg.muted", fontSize: "sm" }, "a run is at work") : null,
      one.eta_seconds ? h(Text, { color: "fg.muted", fontSize: "sm" }, `about ${duration(one.eta_seconds)} left`) : null,
      withQuota ? quota(one.budget).map(([name, words]) => h(Text, { color: "fg.muted", fontSize: "sm", key: name }, `${name}: ${words}`)) : null),
    h(Stack, { gap: 0 },
      h(To, { fontWeight: "semibold", to: link({ offset: undefined, sync: one.id }) }, h(Foreign, { text: `s3://${one.bucket}/${one.prefix}` })),
      h(Text, { as: "div", color: "fg.muted", fontSize: "sm" }, one.dag_ids.length ? one.dag_ids.map((dag, at) => h("span", { key: dag }, at ? ", " : "", h(DagLink, { dagId: dag }))) : one.former_dag_ids.length ? [h(Foreign, { key: "former", mono: false, text: one.former_dag_ids.join(", ") }), ", which Airflow has no more"] : "no DAG",
        one.sync_id ? h("span", null, " · ", h(Foreign, { text: one.sync_id })) : null)),
    number(one.objects), number(one.indexed), number(one.underway),
    h(Count, { level: "error", value: one.failed }), h(Count, { level: "warning", value: one.quarantined }),
    one.last_run ? h(Stack, { gap: 0 },
      h(RunLink, { dagId: one.last_run.state && one.last_run.dag_id, runId: one.last_run.run_id }, h(Moment, { at: one.last_run.started_at, now })),
      h(Text, { color: "fg.muted", fontSize: "sm" }, one.last_run.state ?? (one.last_run.finished_at ? "ended" : "not ended"))) : "never",
    h(NextRun, { now, sync: one }),
    h(Sparkline, { runs: one.recent }),
  ];
}

function Count({ value, level }) {
  return value ? h(Level, { level }, number(value)) : "0";
}
