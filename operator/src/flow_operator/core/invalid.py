"""What is wrong with an object that the API server let through, in words that name the field."""

from pydantic import ValidationError

from flow_operator.api.v1alpha1 import FlowDeployment, FlowRun
from flow_operator.api.validate import parameters_problems
from flow_operator.core.durations import parse_moment


def problems_of(subject: ValidationError | FlowDeployment) -> list[str]:
    """Return one line a problem, or none.

    The CRD refuses most of this at `kubectl apply`; what remains are limits that a schema cannot
    state, and objects that were stored under another release's schema.
    """
    if isinstance(subject, ValidationError):
        return [
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in subject.errors(include_url=False, include_input=False)
        ]
    problems = parameters_problem(subject.spec.parameters)
    for index, schedule in enumerate(subject.spec.schedules or []):
        problems += parameters_problem(schedule.parameters, f"spec.schedules[{index}].parameters")
    return problems


def parameters_problem(
    parameters: dict[str, object] | None, field: str = "spec.parameters"
) -> list[str]:
    """Return what is wrong with the size of parameters, or nothing."""
    return [str(problem) for problem in parameters_problems(parameters, field)]


def tick_problem(run: FlowRun) -> list[str]:
    """Return what is wrong with the tick that a run names, or nothing."""
    trigger = run.spec.trigger
    try:
        if trigger and trigger.scheduled_time:
            parse_moment(trigger.scheduled_time)
    except ValueError as error:
        return [f"spec.trigger.scheduledTime: {error}. Write it as 2026-11-22T03:00:00Z"]
    return []
