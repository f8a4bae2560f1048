// The page that Airflow's UI shows: in the navigation, and as a tab of a DAG and of a DAG run.
//
// No build step: React, the router and the components are the host's own. All of the page's places are parameters of the
// address, so each of them can be linked to.

import { usePoll } from "./api.js";
import { KeyPage } from "./key.js";
import { Overview } from "./overview.js";
import { Sync } from "./sync.js";
import { Failure, Loading, usePlace } from "./widgets.js";

const { createElement: h } = globalThis.React;
const { Box } = globalThis.ChakraUI;

function CloudIndex({ dagId, runId }) {
  return h(Box, { "data-cloudindex": true, height: "100%", overflow: "auto", p: dagId ? 4 : 6 }, h(Place, { dagId, runId }));
}

function Place({ dagId, runId }) {
  const { link, params } = usePlace();
  const named = params.has("sync") ? encodeURIComponent(params.get("sync")) : null; // a name, and no path
  // A DAG with one sync leads to that sync.
  const { data, error, reload } = usePoll(dagId && !named ? "syncs" : null, { dag_id: dagId, limit: 2 }, 60);
  const id = named ?? (data?.total === 1 ? data.syncs[0].id : undefined);
  if (dagId && !named && !data) return error ? h(Failure, { error, reload }) : h(Loading, { what: "syncs" });
  if (id === undefined) return h(Overview, { dagId });
  const name = params.get("key");
  if (name) return h(KeyPage, { id, key: `${id} ${name}`, name });
  const home = dagId && data?.total === 1 ? undefined : link(Object.fromEntries([...params.keys()].map((one) => [one, undefined])));
  return h(Sync, { home, id, key: id, runId });
}

globalThis.CloudIndex = CloudIndex; // by the name that the plugin gives it: what all plugins share, another one could take for its own

export default CloudIndex;
