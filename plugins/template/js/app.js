// Adds instances to a service that has too much to do.

import { targets } from "suture:incident/incident@1.1.0";
import { write } from "suture:log/log@1.1.0";
import { setReplicas } from "suture:scale/scale@1.1.0";

export const remedy = {
  // What the playbook is. The host checks arguments against the parameters before `remediate` sees them.
  describe() {
    const by = { name: "by", kind: "integer", default: "1", min: 1, max: 20, summary: "How many instances to add." };
    return { name: "{{name}}", version: "0.1.0", summary: "Adds instances.", params: [by] };
  },

  // The operator's settings. What is wrong beyond the bounds above: `throw "what to write instead"`.
  validate(settings) {},

  // Called twice: its actions in the dry run are the plan that people approve, and the real run must do the same. So it
  // decides by its arguments and by what the host says, never by a clock or by chance.
  remediate(args) {
    try {
      return addInstances(Number(argument(args, "by")));
    } catch (error) {
      // Said on purpose.
      if (error.tag !== undefined) throw error;
      // The host refused: its own words are handed on.
      if (error.payload !== undefined) throw { tag: "host", val: error.payload };
      // A mistake in here: without this, nobody would know more than that the playbook crashed.
      throw { tag: "failed", val: String(error) };
    }
  },
};

function addInstances(by) {
  const target = onlyTarget();
  const now = target.state();
  const wanted = Math.min(now.replicas + by, now.maxReplicas);
  if (wanted <= now.replicas) {
    throw { tag: "not-applicable", val: `${target.name()} has all ${now.maxReplicas} instances that it may have` };
  }
  write("info", `${now.replicas} instances, at most ${now.maxReplicas}`);
  setReplicas(target, wanted);
  return { summary: `${target.name()} has ${wanted} instances.` };
}

function onlyTarget() {
  const all = targets();
  if (all.length !== 1) {
    throw { tag: "not-applicable", val: `the service has ${all.length} targets, and this playbook is for one` };
  }
  return all[0];
}

// The text of an argument. One that has a default is always there.
function argument(args, name) {
  return args.find((arg) => arg.name === name).value;
}
