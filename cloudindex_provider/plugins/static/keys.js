// A sync's keys: by prefix, status and reason, a page at a time.

import { usePoll } from "./api.js";
import { Foreign, number, ObjectKey, reasonWords, s3Time, size, STATUS_WORDS } from "./text.js";
import { DataTable, Empty, Failure, Level, Loading, Status, To, usePlace, Waiting } from "./widgets.js";

const { createElement: h, useEffect, useState } = globalThis.React;
const { Button, Field, HStack, Input, NativeSelect, Stack, Text } = globalThis.ChakraUI;

const PAGE = 50;
const ORDERS = Object.fromEntries([
  ["A to Z", undefined, undefined], ["Z to A", undefined, "true"], ["Largest first", "size", "true"], ["Smallest first", "size", undefined],
  ["Newest first", "last_modified", "true"], ["Oldest first", "last_modified", undefined],
].map(([words, sort, descending]) => [`${sort ?? ""} ${descending ?? ""}`, [words, { descending, sort }]]));

function orderOf({ sort, descending }) {
  const name = `${sort ?? ""} ${descending ?? ""}`;
  return name in ORDERS ? name : " ";
}

// By what a key begins with: part of the address, as everything is.
export function Search({ placeholder, children }) {
  const { go, params } = usePlace();
  const asked = params.get("prefix") ?? "";
  const [search, setSearch] = useState(asked);
  useEffect(() => setSearch(asked), [asked]); // as when a person goes back
  const find = (event) => {
    event.preventDefault();
    go({ after: undefined, prefix: search });
  };
  return h(HStack, { align: "end", as: "form", gap: 3, onSubmit: find, role: "search", wrap: "wrap" },
    h(Field.Root, { maxW: "full", width: "20rem" }, h(Field.Label, null, "Key begins with"),
      h(Input, { onChange: (event) => setSearch(event.target.value), placeholder, size: "sm", value: search })),
    children,
    h(Button, { size: "sm", type: "submit" }, "Find"));
}

export function Keys({ sync }) {
  const { go, link, params } = usePlace();
  const wanted = Object.fromEntries(["after", "descending", "prefix", "reason", "sort", "status"].map((name) => [name, params.get(name) ?? undefined]));
  const path = `syncs/${sync.id}/keys`;
  const { data, error, last, reload } = usePoll(path, { ...wanted, limit: PAGE }, sync.is_running ? 3 : 15);
  return h(Stack, { gap: 4 },
    h(Search, { placeholder: sync.prefix },
      h(Field.Root, { width: "auto" }, h(Field.Label, null, "Status"),
        h(NativeSelect.Root, { size: "sm" },
          h(NativeSelect.Field, { onChange: (event) => go({ after: undefined, reason: undefined, status: event.target.value }), value: wanted.status ?? "" },
            h("option", { value: "" }, "Any"), Object.entries(STATUS_WORDS).map(([value, words]) => h("option", { key: value, value }, words))),
          h(NativeSelect.Indicator, null))),
      h(Field.Root, { width: "auto" }, h(Field.Label, null, "Order"),
        h(NativeSelect.Root, { size: "sm" },
          h(NativeSelect.Field, { onChange: (event) => go({ after: undefined, ...ORDERS[event.target.value][1] }), value: orderOf(wanted) },
            Object.entries(ORDERS).map(([value, [words]]) => h("option", { key: value, value }, words))),
          h(NativeSelect.Indicator, null)))),
    wanted.reason ? h(HStack, { wrap: "wrap" }, h(Text, null, "Only for the reason ", h(Foreign, { mono: false, text: reasonWords(wanted.status, wanted.reason) })), h(To, { to: link({ after: undefined, reason: undefined }) }, "any reason")) : null,
    error ? h(Failure, { error, reload }) : null,
    data || last ? h(Waiting, { busy: !data && !error }, h(List, { data: data ?? last, link, sync, wanted })) : error ? null : h(Loading, { what: "keys" }));
}

function List({ data, link, sync, wanted }) {
  return h(Stack, { gap: 3 },
    data.too_many
      ? h(Empty, { title: "Too many keys to sort" }, `Up to ${number(data.too_many)} keys can be sorted by size or time. Narrow them by what the key begins with, or by a status; from A to Z, all can be seen.`)
      : data.keys.length === 0
      ? h(Empty, { title: data.after ? "None here" : "No such key" }, data.after ? "The keys that were looked at so far have none; there are more." : `None of the ${number(sync.objects)} keys of this sync fits.`)
      : h(DataTable, {
        columns: [{ name: "Key", text: true, width: "38%" }, { name: "Status", width: "7rem" }, { name: "Reason", text: true }, { end: true, name: "Size", width: "6rem" }, { name: "Changed in S3", width: "13rem" }, { name: "Can be found", width: "7rem" }],
        label: "Keys", minWidth: "64rem",
        rows: data.keys.map((one) => ({
          cells: [
            h(To, { to: link({ key: one.key }) }, h(ObjectKey, { text: one.key })), h(Status, { status: one.status }),
            h(Foreign, { mono: false, text: reasonWords(one.status, one.reason) === one.status ? "" : one.status === "indexed" ? "" : reasonWords(one.status, one.reason) }),
            size(one.size), s3Time(one.last_modified), one.indexed ? h(Level, { level: "ok" }, "yes") : "no",
          ],
          key: one.key,
        })),
      }),
    h(HStack, { gap: 4 },
      wanted.after ? h(To, { to: link({ after: undefined }) }, "First page") : null,
      data.after ? h(To, { to: link({ after: data.after }) }, data.keys.length ? "Next page" : "Look further") : null));
}
