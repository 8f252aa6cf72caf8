// Makes app.wasm of app.js. `fetch` is the only feature it keeps: a tool is called, and serves no requests itself.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const { component } = await componentize({ sourcePath: "app.js", witPath: "wit", worldName: "plugin", disableFeatures: ["fetch-event"] });
await writeFile("app.wasm", component);
