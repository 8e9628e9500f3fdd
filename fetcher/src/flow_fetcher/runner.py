"""Calls one function of the fetched tree and reports how it ended; one file, standard library only.

It lies beside `context.json` on the run's volume and executes in the user's image, whatever that
is: Python 3.9 or newer, no packages, any user, a read-only root. On success it prints nothing: the
log belongs to the user's code. `docs/contracts.md` has the context, the message and the exit codes.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036  an image may be older than what we support
    sys.exit("flow-runner needs Python 3.9 or newer; this image has " + sys.version.split()[0])

import importlib
import importlib.util
import inspect
import json
import os
import re
import signal
import time
from typing import Annotated, Any, Callable, Literal, Optional, Union, get_args, get_origin

RUN = os.path.dirname(os.path.abspath(__file__))
STOPPED, ENTRYPOINT_NOT_FOUND, INVALID_PARAMETERS = 143, 220, 221
RESULT_LIMIT = 1024
Arguments = tuple[list[Any], dict[str, Any]]


class Refusal(Exception):  # noqa: N818  not a fault of ours but an answer to the user
    """The call cannot be made as asked: ends the run with this exit code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Misfit(Exception):  # noqa: N818
    """A value does not fit its annotation."""


# --- finding the function -------------------------------------------------------------------------


class FileFinder:
    """Lets `import` find the entrypoint's file under a name that `sys.path` does not lead to."""

    def __init__(self, file: str, directory: str) -> None:
        self.name = "flow_entrypoint_" + re.sub(r"\W", "_", file[: -len(".py")])
        self.path = os.path.join(directory, file)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Answers for this one name."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path)


def module_name(file: str, directory: str, finder: FileFinder) -> str:
    """Names the module of a file so that pickle, dataclasses and new processes find it again.

    `etl/nightly.py` is `etl.nightly`, as other modules import it; only what no import can name
    (`daily-report.py`, or a name that is taken) goes by the finder's name.
    """
    name = os.path.normpath(file)[: -len(".py")].replace(os.sep, ".")
    if all(part.isidentifier() for part in name.split(".")):
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if not leads_to(name, error.name):
                raise  # the user's package misses something that it imports
        except ValueError:  # the name is taken by a module without a spec
            pass
        else:
            if spec and os.path.realpath(spec.origin or "") == os.path.realpath(finder.path):
                return name
    return finder.name


def leads_to(module: str, missing: Optional[str]) -> bool:
    """Says whether `missing` is the module itself or one of the packages that hold it."""
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def load(entrypoint: str, directory: str) -> Callable[..., Any]:
    """Imports the entrypoint's module and returns what is to be called."""
    where, _, attribute = entrypoint.rpartition(":")
    if where.endswith(".py"):
        if not os.path.isfile(os.path.join(directory, where)):
            raise not_found(f"there is no file {where}", where, python_files(directory))
        finder = FileFinder(where, directory)
        sys.meta_path.append(finder)
        module = importlib.import_module(module_name(where, directory, finder))
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            if not leads_to(where, error.name):
                raise
            known = [file[: -len(".py")].replace(os.sep, ".") for file in python_files(directory)]
            raise not_found(f"there is no module {where}", where, known) from None
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            own = [
                name
                for name, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", "") == module.__name__
            ]
            raise not_found(f"{where} has no function {attribute}", attribute, own)
        found = getattr(found, part)
    if not callable(found):
        problem = f"{entrypoint} is not a function but {type(found).__name__}"
        raise Refusal(ENTRYPOINT_NOT_FOUND, problem)
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        problem = f"{entrypoint} is a generator: a call would run none of it"
        raise Refusal(ENTRYPOINT_NOT_FOUND, problem)
    return found  # type: ignore[no-any-return]


def python_files(directory: str) -> "list[str]":
    """Lists the Python files of the tree, about 5,000 at most, to guess what a wrong name meant."""
    found: list[str] = []
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        paths = (os.path.join(folder, file) for file in sorted(files) if file.endswith(".py"))
        found.extend(os.path.relpath(path, directory) for path in paths)
        if len(found) > 5000:
            break
    return found


def not_found(problem: str, wanted: str, known: "list[str]") -> Refusal:
    """Says what is missing and what may have been meant."""
    last = re.split(r"[/.]", re.sub(r"\.py$", "", wanted))[-1]
    near = [name for name in known if re.fullmatch(rf"(.*[/.])?{re.escape(last)}(\.py)?", name)]
    near = near or close(wanted, known)
    if near:
        problem += f"; did you mean {' or '.join(near[:3])}?"
    elif known:
        problem += f"; there are {', '.join(known[:8])}{' …' if known[8:] else ''}"
    return Refusal(ENTRYPOINT_NOT_FOUND, problem)


def close(wanted: str, known: "list[str]") -> "list[str]":
    """Names what is spelt almost like `wanted`."""
    import difflib

    return difflib.get_close_matches(wanted, known)


# --- parameters -----------------------------------------------------------------------------------


def bind(target: Callable[..., Any], values: "dict[str, Any]", entrypoint: str) -> "Arguments":
    """Fits JSON values to the function's signature, or refuses and names every problem at once."""
    try:
        signature = signature_of(target)
    except (TypeError, ValueError):  # some functions written in C have none
        return [], values
    slots, problems = match(signature, values)
    positional, keywords = [], {}
    for name, parameter in slots.items():
        value = values.get(name, parameter.default)
        if value is parameter.empty:
            problems.append(f"{name}: missing")
        elif value is not parameter.default:  # `day: str = None` takes null as well
            try:
                value = convert(value, annotation_of(parameter, target))
            except Misfit:
                expected = describe(parameter.annotation)
                problems.append(f"{name}: expected {expected}, got {short(value)}")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        elif name in values:
            keywords[name] = value
    if problems:
        call = entrypoint.rpartition(":")[2] + re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature))
        problem = "\n  - ".join([f"the parameters do not fit {call}", *problems])
        raise Refusal(INVALID_PARAMETERS, problem)
    return positional, keywords


def match(
    signature: inspect.Signature, values: "dict[str, Any]"
) -> "tuple[dict[str, inspect.Parameter], list[str]]":
    """Returns the parameter that takes each name, and the names that none takes as problems."""
    slots, rest, problems = {}, None, []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = parameter
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            slots[parameter.name] = parameter
    for name in [name for name in values if name not in slots]:
        if rest:
            slots[name] = rest
        else:
            near = close(name, [other for other in slots if other not in values])
            problems.append(f"{name}: unknown" + (f"; did you mean {near[0]}?" if near else ""))
    return slots, problems


def signature_of(target: Callable[..., Any]) -> inspect.Signature:
    """Reads the signature, also where Python 3.14 cannot evaluate an annotation."""
    try:
        return inspect.signature(target)
    except NameError:
        names: Any = importlib.import_module("annotationlib").Format.FORWARDREF
        return inspect.signature(target, **{"annotation_format": names})


def annotation_of(parameter: inspect.Parameter, target: Callable[..., Any]) -> Any:
    """Returns the annotation, evaluated if it is a string; Any where that cannot be done."""
    if not isinstance(parameter.annotation, str):
        return Any if parameter.annotation is parameter.empty else parameter.annotation
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    try:
        return eval(parameter.annotation, dict(vars(module)) if module else {})  # noqa: S307  the user's own
    except Exception:  # it names what exists for type checkers only, or needs a newer Python
        return Any


def describe(annotation: Any) -> str:
    """Writes an annotation as the user did."""
    if isinstance(annotation, type) and not get_args(annotation):
        members = getattr(annotation, "__members__", {}).values()
        choices = ", ".join(short(member.value) for member in members)
        return annotation.__name__ + (f" ({choices})" if choices else "")
    return str(annotation).replace("typing.", "").replace("NoneType", "None")


def short(value: Any) -> str:
    """Writes a value as JSON, at most 60 characters of it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def convert(value: Any, annotation: Any) -> Any:
    """Returns a JSON value as its annotation wants it, or raises `Misfit`.

    It stays as it is, but for dates, times and enum members, which JSON writes as other types. An
    integer is a float too; a bool is no number. Annotations that are not known here take any value.
    """
    kind, inner = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Annotated:
        return convert(value, inner[0])
    if kind is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in inner)
    elif kind is Union or getattr(kind, "__name__", "") == "UnionType":
        for choice in inner:
            try:
                return convert(value, choice)
            except Misfit:  # noqa: PERF203
                continue
        fits = False
    elif kind is None or kind is type(None):
        fits = value is None
    elif kind in (bool, str, list, dict):
        fits = isinstance(value, kind)
    elif kind in (int, float):
        fits = isinstance(value, (int, kind)) and not isinstance(value, bool)
    else:
        return convert_class(value, kind)
    if not fits:
        raise Misfit
    if kind is list and inner:
        return [convert(item, inner[0]) for item in value]
    if kind is dict and inner:
        return {key: convert(item, inner[1]) for key, item in value.items()}
    return value


def convert_class(value: Any, kind: Any) -> Any:
    """Makes dates, times and enum members of what JSON can say of them."""
    import datetime
    import enum

    try:
        if kind in (datetime.date, datetime.datetime):
            return kind.fromisoformat(re.sub("[zZ]$", "+00:00", value))  # Z is news to Python 3.10
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return kind(value)
    except (TypeError, ValueError):
        raise Misfit from None
    return value


# --- calling it -----------------------------------------------------------------------------------


class Stop:
    """Makes of SIGTERM what Python code can clean up after: an exception, or a task's cancellation.

    A handler that the user's code installs takes its place. A second signal changes nothing, and so
    cannot interrupt the clean-up; SIGKILL follows when the grace period is over.
    """

    def __init__(self) -> None:
        self.requested = self.calling = self.finished = False
        self.cancel: Optional[Callable[[], Any]] = None
        signal.signal(signal.SIGTERM, self)
        self.mask: Any = ()
        os.register_at_fork(
            before=self.hold, after_in_parent=self.release, after_in_child=self.forget
        )

    def __call__(self, *_: Any) -> None:
        """Is the signal handler."""
        if self.finished:  # and Python waits for threads of the user's
            os._exit(STOPPED)
        if self.requested or not self.calling:
            return
        self.requested = True
        os.write(2, b"flow-runner: SIGTERM received, stopping\n")
        if self.cancel is None:
            raise SystemExit(STOPPED)
        self.cancel()

    def hold(self) -> None:
        """Holds SIGTERM back during a fork: Python forgets what a child gets before it is ready."""
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def release(self) -> None:
        """Lets SIGTERM through again."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def forget(self) -> None:
        """Gives SIGTERM its usual meaning back in a forked child."""
        if signal.getsignal(signal.SIGTERM) is self:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.release()

    def wait(self, awaitable: Any) -> Any:
        """Awaits in a new event loop, in a task that SIGTERM cancels."""
        import asyncio

        async def main() -> Any:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            self.cancel = lambda: task and loop.call_soon_threadsafe(task.cancel)
            try:
                return await awaitable
            finally:
                self.cancel = None

        return asyncio.run(main())


def call(context: "dict[str, Any]", directory: str, stop: Stop, message: "dict[str, Any]") -> None:
    """Imports and calls the entrypoint; the message gets what it returns and how long it took."""
    seconds, started, stage = {}, time.monotonic(), "import"
    stop.calling = True
    try:
        target = load(context["entrypoint"], directory)
        positional, keywords = bind(target, context.get("parameters") or {}, context["entrypoint"])
        seconds[stage] = round(time.monotonic() - started, 3)
        started, stage = time.monotonic(), "run"
        result = target(*positional, **keywords)
        if inspect.isawaitable(result):
            result = stop.wait(result)
    finally:
        stop.calling = False
        seconds[stage] = round(time.monotonic() - started, 3)
        message["seconds"] = seconds
    if result is not None:
        message.update(encode(result))


def encode(result: Any) -> "dict[str, Any]":
    """Returns the result if it is JSON and small, else why it is left out."""
    text = ""
    try:
        for chunk in json.JSONEncoder(allow_nan=False, ensure_ascii=False).iterencode(result):
            text += chunk
            if len(text.encode()) > RESULT_LIMIT:
                return {"resultOmitted": f"larger than {RESULT_LIMIT} bytes"}
        return {"result": json.loads(text)}
    except Exception as error:
        return {"resultOmitted": f"not JSON: {error}"[:200]}


def exit_code(error: SystemExit) -> int:
    """Returns the code that `sys.exit` asked for, unless the operator would misread it."""
    if error.code is None:
        return 0
    if not isinstance(error.code, int):
        print(error.code, file=sys.stderr)
        return 1
    if error.code & 0xFF in (ENTRYPOINT_NOT_FOUND, INVALID_PARAMETERS):
        print(f"flow-runner: exit code {error.code} is reserved; exiting with 1", file=sys.stderr)
        return 1
    return error.code & 0xFF


def show(error: BaseException) -> None:
    """Prints the traceback as Python does, but from the user's first frame on."""
    plumbing = [call.__code__.co_filename, "<frozen importlib", os.path.dirname(importlib.__file__)]
    if "asyncio" in sys.modules:
        plumbing.append(os.path.dirname(sys.modules["asyncio"].__file__ or ""))
    links, seen = [error], set()
    while links:
        link = links.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        trace = link.__traceback__
        while trace and trace.tb_frame.f_code.co_filename.startswith(tuple(plumbing)):
            trace = trace.tb_next
        link.__traceback__ = trace
        links += [other for other in (link.__cause__, link.__context__) if other]
        links += getattr(link, "exceptions", ())
    hook = sys.excepthook  # which the user's code may have replaced, as error trackers do
    try:
        hook(type(error), error, error.__traceback__)
    except Exception:
        sys.__excepthook__(type(error), error, error.__traceback__)


def report(message: "dict[str, Any]", path: str, budget: int) -> None:
    """Writes the termination message; no run fails because nobody can be told."""
    if len(json.dumps(message, ensure_ascii=False).encode()) > budget:
        message.pop("result", None)
        message["resultOmitted"] = f"no room in {budget} bytes"
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(message, file, ensure_ascii=False)
    except OSError as error:
        print(f"flow-runner: cannot write {path}: {error.strerror}", file=sys.stderr)


def prepare() -> "tuple[dict[str, Any], str]":
    """Returns the context and the working directory, from which imports now start."""
    with open(os.path.join(RUN, "context.json"), encoding="utf-8") as file:
        context = json.load(file)
    below = context.get("workingDirectory") or ""
    directory = os.path.normpath(os.path.join(RUN, "..", "src", below))
    if sys.path and os.path.abspath(sys.path[0]) == RUN:
        del sys.path[0]
    sys.path.insert(0, directory)
    return context, directory


def main() -> int:
    """Runs the flow and returns the exit code that `docs/contracts.md` promises."""
    stop = Stop()
    path = os.environ.get("FLOW_TERMINATION_LOG") or "/dev/termination-log"
    message: dict[str, Any] = {"version": 1}
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    context, directory = prepare()
    os.environ["FLOW_REVISION"] = context.get("revision") or ""
    code = 0
    try:
        os.chdir(directory)
        call(context, directory, stop, message)
    except Refusal as refusal:
        print(f"flow-runner: {refusal}", file=sys.stderr)
        code = refusal.code
    except SystemExit as error:
        code = exit_code(error)
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        if not (stop.requested and type(error).__name__ == "CancelledError"):
            show(error)
    if stop.requested and code in (0, 1):
        code = STOPPED
    report(message, path, context.get("messageBudget") or 4096)
    stop.finished = True
    return code


if __name__ == "__main__":
    sys.exit(main())
elif __name__ == "__mp_main__":  # a new process of `multiprocessing` looks for the same module
    _context, _directory = prepare()
    sys.meta_path.append(FileFinder(_context["entrypoint"].rpartition(":")[0], _directory))
