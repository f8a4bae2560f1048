// Asking the API: relative to the page's base, so that a base path holds; again and again while somebody looks.

const { useCallback, useEffect, useRef, useState } = globalThis.React;

// FastAPI's own words: a text, or a list of what is wrong.
function said(detail) {
  if (typeof detail === "string") return detail;
  return Array.isArray(detail) ? detail.map((one) => one.msg).join("; ") : undefined;
}

export class Problem extends Error {
  constructor(status, body) {
    super(body?.message ?? said(body?.detail) ?? `The api-server answered ${status}.`);
    this.status = status;
    this.what = body?.what ?? (status === 401 ? "signed_out" : status === 403 ? "refused" : status === 404 ? "not_found" : status === 422 ? "settings" : "unknown");
    this.hint = body?.hint ?? "";
  }
}

function address(path, params) {
  const url = new URL(`cloudindex/api/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

async function answer(response) {
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

export async function get(path, params, signal) {
  return answer(await fetch(address(path, params), { credentials: "same-origin", headers: { Accept: "application/json" }, signal }));
}

export async function post(path, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return answer(await fetch(address(path), { body: JSON.stringify(body), credentials: "same-origin", headers, method: "POST" }));
}

// A run of a DAG, by Airflow's own API: its permissions, its audit log.
export async function startRun(dagId, conf) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const url = new URL(`api/v2/dags/${encodeURIComponent(dagId)}/dagRuns`, document.baseURI).href;
  const body = JSON.stringify({ conf, logical_date: null });
  return answer(await fetch(url, { body, credentials: "same-origin", headers, method: "POST" }));
}

// {data, error, reload, last}: what was last answered stays while it is asked again, so that nothing jumps; `last` also
// while the same is asked with other parameters, as for the next page of a list.
export function usePoll(path, params, seconds) {
  const name = path === null ? null : address(path, params);
  const [found, setFound] = useState({ data: undefined, error: undefined, name: null, path: null });
  const [turn, setTurn] = useState(0);
  const pause = useRef(seconds);
  pause.current = seconds;
  useEffect(() => {
    if (name === null) return undefined;
    const abort = new AbortController();
    let timer;
    const ask = async () => {
      if (document.hidden) {
        timer = setTimeout(ask, 1000);
        return;
      }
      try {
        const data = await get(path, params, abort.signal);
        if (!abort.signal.aborted) setFound({ data, error: undefined, name, path });
        timer = setTimeout(ask, (typeof pause.current === "function" ? pause.current(data) : pause.current) * 1000);
      } catch (error) {
        if (abort.signal.aborted) return;
        setFound((before) => ({ data: before.name === name ? before.data : undefined, error, name, path }));
        timer = setTimeout(ask, 15000);
      }
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [name, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { data: found.name === name ? found.data : undefined, error: found.name === name ? found.error : undefined, last: found.path === path ? found.data : undefined, reload };
}
