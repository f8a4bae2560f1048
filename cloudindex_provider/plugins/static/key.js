// One key: what S3 has, what CloudIndex has, why they differ, what happened, and what a person can do.

import { post, usePoll } from "./api.js";
import { Foreign, Moment, number, ObjectKey, s3Time, size } from "./text.js";
import { DataTable, Empty, Failure, Loading, Note, RunLink, Said, Status, Title, To, usePlace } from "./widgets.js";

const { createElement: h, useState } = globalThis.React;
const { Box, Button, Flex, Heading, HStack, Stack, Text } = globalThis.ChakraUI;

const S3_FACTS = [["Size", (one) => size(one.size)], ["ETag", (one) => one.etag], ["Changed", (one) => s3Time(one.last_modified)], ["Storage class", (one) => one.storage_class]];
const INDEX_FACTS = [
  ["Size", (one) => size(one.size)], ["ETag of what was uploaded", (one) => one.etag], ["Document", (one) => one.document_id],
  ["Version", (one) => one.document_version], ["File name", (one) => one.file_name], ["SHA-256", (one) => one.sha256],
];

export function KeyPage({ id, name }) {
  const { link } = usePlace();
  const { data, error, reload } = usePoll(`syncs/${id}/key`, { key: name }, (found) => (["indexed", "skipped"].includes(found.status) ? 15 : 3));
  const [said, setSaid] = useState();
  const [busy, setBusy] = useState(false);
  const act = async (action) => {
    setBusy(true);
    try {
      setSaid({ ok: true, text: (await post(`syncs/${id}/${action}`, { keys: [name] })).message });
    } catch (problem) {
      setSaid({ hint: problem.hint, ok: false, text: problem.message });
    }
    setBusy(false);
    reload();
  };
  const back = h(Box, null, h(To, { to: link({ key: undefined }) }, "Back to the sync"));
  if (!data) return h(Stack, { gap: 4 }, back, error ? h(Failure, { error, reload }) : h(Loading, { what: "the key" }));
  return h(Stack, { gap: 5 },
    back,
    h(HStack, { align: "start", gap: 3, wrap: "wrap" }, h(Title, { place: `key ${name}` }, h(ObjectKey, { text: name })), data.status ? h(Status, { status: data.status }) : null),
    error ? h(Failure, { error, reload }) : null,
    h(Note, { status: { failed: "error", indexed: "success", quarantined: "warning" }[data.status] ?? "info", title: data.difference },
      h(Stack, { gap: 1 },
        data.reason && data.status !== "skipped" ? h(Text, { as: "div" }, "Why: ", h(Foreign, { mono: false, text: data.reason })) : null,
        data.remedy ? h(Text, null, data.remedy) : null,
        data.attempts ? h(Text, null, `Strikes so far: ${number(data.attempts)}.`) : null,
        data.next_attempt_at ? h(Text, { as: "div" }, "It is looked at again ", h(Moment, { at: data.next_attempt_at, now: data.now }), ".") : null,
        data.worked_on_by ? h(Text, { as: "div" }, "Worked on by ", h(Foreign, { text: data.worked_on_by }), ".") : null)),
    h(HStack, { gap: 3 },
      data.may_retry ? h(Button, { disabled: busy, onClick: () => void act("retry"), size: "sm" }, data.status === "quarantined" ? "Release from quarantine" : data.status === "processing" ? "Give up and upload again" : "Retry") : null,
      data.may_resync ? h(Button, { disabled: busy, onClick: () => void act("resync"), size: "sm", variant: "outline" }, "Upload again") : null),
    h(Said, { said }),
    h(Flex, { gap: 5, wrap: "wrap" },
      h(Side, { empty: "S3 doesn't list it.", facts: S3_FACTS, side: data.s3, title: "In S3" }),
      h(Side, { empty: "Nothing of it can be found there.", facts: INDEX_FACTS, side: data.cloudindex, title: "In CloudIndex" })),
    h(Heading, { as: "h2", size: "md" }, "What happened"),
    data.events.length === 0 ? h(Empty, { title: "Nothing yet" }, "No run has decided anything about this key.")
      : h(DataTable, {
        columns: [{ name: "When", width: "10rem" }, { name: "What", width: "12rem" }, { name: "Why", text: true }, { name: "Run", width: "20rem" }], label: "What happened to the key",
        rows: data.events.map((one, at) => ({
          cells: [h(Moment, { at: one.at, now: data.now }), one.event, h(Foreign, { mono: false, text: one.reason ?? "" }), one.run_id !== null ? h(RunLink, { dagId: one.dag_id, runId: one.run_id }) : "by a person"],
          key: `${one.at} ${at}`,
        })),
      }));
}

function Side({ title, side, facts, empty }) {
  return h(Box, { borderRadius: "md", borderWidth: 1, flex: "1 1 20rem", p: 4 },
    h(Heading, { as: "h2", mb: 2, size: "md" }, title),
    side ? h(Box, { as: "dl", display: "grid", gap: 1, gridTemplateColumns: "max-content 1fr" }, facts.flatMap(([words, read]) => {
      const value = read(side);
      return value === null || value === undefined ? [] : [
        h(Text, { as: "dt", color: "fg.muted", key: `${words} name`, pr: 3 }, words),
        h(Box, { as: "dd", key: words, m: 0 }, h(Foreign, { text: value }))];
    })) : h(Text, { color: "fg.muted" }, empty));
}
