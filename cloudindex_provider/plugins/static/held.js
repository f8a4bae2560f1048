// Deletes that wait for a person: the keys that would go, and the two answers.

import { post, usePoll } from "./api.js";
import { Search } from "./keys.js";
import { Foreign, Moment, number, ObjectKey, plural, size } from "./text.js";
import { DataTable, Empty, Failure, Loading, Note, Said, To, usePlace, Waiting } from "./widgets.js";

const { createElement: h, useState } = globalThis.React;
const { Button, Field, HStack, Input, Stack, Text } = globalThis.ChakraUI;

export function Held({ sync, hold, now, reload }) {
  return h(Stack, { gap: 4 },
    h(Note, { status: "warning", title: `${plural(hold.removed, "document")} of ${number(hold.live)} would be deleted` },
      h(Stack, { gap: 1 },
        h(Text, { as: "div" }, "S3 lists their keys no more, and it is held because: ", h(Foreign, { mono: false, text: hold.reason }), ". Since ", h(Moment, { at: hold.at, now }), "."),
        hold.made_from ? h(Text, { as: "div" }, "The documents were made from another store: ", h(Foreign, { text: hold.made_from }), ", and this is ", h(Foreign, { text: hold.endpoint ?? "AWS" }), ".") : null,
        hold.decision ? h(Text, { as: "div", fontWeight: "semibold" }, "Decided: ", h(Foreign, { mono: false, text: hold.decision })) : null)),
    h(Answer, { hold, reload, sync }),
    h(WouldGo, { sync }));
}

function Answer({ sync, hold, reload }) {
  const [seen, setSeen] = useState(hold); // what a person answers to: the page is asked for again meanwhile
  const [ceiling, setCeiling] = useState(String(hold.removed));
  const [said, setSaid] = useState();
  const [busy, setBusy] = useState(false);
  if (!sync.may_act) return h(Text, { color: "fg.muted" }, "To answer, you need the right to edit or trigger this sync's DAG.");
  const answer = async (action, body) => {
    setBusy(true);
    try {
      setSaid({ ok: true, text: (await post(`syncs/${sync.id}/${action}`, { token: seen.token, ...body })).message });
    } catch (error) {
      setSaid({ hint: error.hint, ok: false, text: error.message });
    }
    setBusy(false);
    reload();
  };
  const most = Number(ceiling);
  const valid = Number.isSafeInteger(most) && most >= 1;
  if (seen.token !== hold.token || seen.removed !== hold.removed) {
    const look = () => {
      setSeen(hold);
      setCeiling(String(hold.removed));
    };
    return h(Stack, { gap: 3 },
      h(Note, { action: h(Button, { onClick: look, size: "sm", variant: "outline" }, "I have looked"), status: "warning", title: "These are other deletes than those that you were asked about" },
        `A run has planned anew: ${plural(seen.removed, "document")} would have gone, and now it is ${plural(hold.removed, "document")}. Look at the keys below before you answer.`),
      h(Said, { said }));
  }
  return h(Stack, { gap: 3 },
    h(HStack, { align: "end", gap: 3, wrap: "wrap" },
      h(Field.Root, { invalid: !valid, width: "auto" }, h(Field.Label, null, "Delete at most"),
        h(Input, { inputMode: "numeric", min: 1, onChange: (event) => setCeiling(event.target.value), size: "sm", type: "number", value: ceiling, width: "9rem" })),
      h(Button, { colorPalette: "red", disabled: busy || !valid, onClick: () => void answer("approve", { ceiling: most }), size: "sm" }, `Approve up to ${valid ? plural(most, "delete") : "…"}`),
      h(Button, { disabled: busy || !hold.token, onClick: () => void answer("keep", {}), size: "sm", variant: "outline" }, "Keep the documents")),
    h(Text, { color: "fg.muted", fontSize: "sm" }, "The next run plans anew. It deletes them if they are no more than you allow, and asks S3 for each once more."),
    h(Said, { said }));
}

function WouldGo({ sync }) {
  const { link, params } = usePlace();
  const prefix = params.get("prefix") ?? undefined;
  const after = params.get("after") ?? undefined;
  const { data: found, error, last, reload } = usePoll(`syncs/${sync.id}/held`, { after, limit: 50, prefix }, 15);
  const data = found ?? last;
  return h(Stack, { gap: 3 },
    h(Search, { placeholder: sync.prefix }),
    error ? h(Failure, { error, reload }) : null,
    !data ? (error ? null : h(Loading, { what: "keys" }))
      : data.keys.length === 0 ? h(Empty, { title: "No such key" }, "None of the documents that would be deleted fits.")
      : h(Waiting, { busy: !found && !error }, h(DataTable, {
        columns: [{ name: "Key", text: true }, { end: true, name: "Size", width: "8rem" }, { name: "Document", width: "22rem" }], label: "Documents that would be deleted",
        rows: data.keys.map((one) => ({ cells: [h(To, { to: link({ key: one.key }) }, h(ObjectKey, { text: one.key })), size(one.size), h(Foreign, { text: one.document_id ?? "–" })], key: one.key })),
      })),
    h(HStack, { gap: 4 },
      after ? h(To, { to: link({ after: undefined }) }, "First page") : null,
      data?.after ? h(To, { to: link({ after: data.after }) }, "Next page") : null));
}
