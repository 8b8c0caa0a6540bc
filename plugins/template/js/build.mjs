// Makes the component: app.js and the world of wit/world.wit in, {{name}}.wasm out.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const { component } = await componentize({
  sourcePath: "app.js",
  witPath: "wit",
  worldName: "this-playbook",
  // A playbook gets no system: with all of these off, the component does not even ask for one.
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
await writeFile("{{name}}.wasm", component);
console.log(`{{name}}.wasm: ${component.length} bytes`);
