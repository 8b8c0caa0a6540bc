"""Adds instances to a service that has too much to do."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.remedy import (
    Description,
    Failure,
    Failure_Failed,
    Failure_Host,
    Failure_NotApplicable,
    Outcome,
    Param,
    ParamKind,
)
from wit_world.imports import incident, log, scale
from wit_world.imports.log import Level


class Remedy(exports.Remedy):
    def describe(self):
        """What the playbook is. The host checks arguments against the parameters before `remediate` sees them."""
        by = Param("by", ParamKind.INTEGER, default="1", min=1, max=20, summary="How many instances to add.")
        return Description("{{name}}", "0.1.0", "Adds instances.", [by])

    def validate(self, settings):
        """The operator's settings. What is wrong beyond the bounds above: `raise Err("what to write instead")`."""

    def remediate(self, args):
        """Called twice: its actions in the dry run are the plan that people approve, and the real run must do the same.

        So it decides by its arguments and by what the host says, never by a clock or by chance.
        """
        try:
            return add_instances(int(argument(args, "by")))
        except Err as error:
            # Said on purpose; or the host refused, and its own words are handed on.
            raise error if isinstance(error.value, Failure) else Err(Failure_Host(error.value))
        except Exception as error:
            # A mistake in here: without this, nobody would know more than that the playbook crashed.
            raise Err(Failure_Failed(f"{type(error).__name__}: {error}"))


def add_instances(by):
    target = only_target()
    now = target.state()
    wanted = min(now.replicas + by, now.max_replicas)
    if wanted <= now.replicas:
        raise Err(Failure_NotApplicable(f"{target.name()} has all {now.max_replicas} instances that it may have"))
    log.write(Level.INFO, f"{now.replicas} instances, at most {now.max_replicas}")
    scale.set_replicas(target, wanted)
    return Outcome(f"{target.name()} has {wanted} instances.")


def only_target():
    targets = incident.targets()
    if len(targets) != 1:
        raise Err(Failure_NotApplicable(f"the service has {len(targets)} targets, and this playbook is for one"))
    return targets[0]


def argument(args, name):
    """The text of an argument. One that has a default is always there."""
    return next(arg.value for arg in args if arg.name == name)
