"""What goes wrong in a verb, as one line for the user instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@contextmanager
def report_errors(target: Path | None = None) -> Iterator[None]:
    """Turn errors into messages: status 2 for what was asked wrongly, 1 for what failed.

    Args:
        target: What is written inside; the system's errors that name no file, such as that of a
            full disk, name it.
    """
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        nameless = error.errno is not None and error.filename is None
        where = f"{target}: " if target is not None and nameless else ""
        raise click.ClickException(f"{where}{error}") from error
    except (ImportError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error
