"""The commit of a folder with a program, as a record of what has run. No torch."""

import os
import subprocess
from pathlib import Path

_SECONDS = 10  # for an answer; a repository on a slow disk is recorded as unknown
_DIGITS = 12


def commit_of(root: Path, *paths: str) -> str | None:
    """The commit that is checked out in `root`, with a plus if tracked files differ from it.

    `paths` limit these files, in git's words. None without git, and for a folder that is not the
    top of a repository: a program that is installed within another one's is not part of that.
    """
    answer = _git(root, "rev-parse", "--show-toplevel", f"--short={_DIGITS}", "HEAD")
    top, _, commit = (answer or "").rpartition("\n")
    if not top or Path(top).resolve() != root.resolve():
        return None
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *paths)
    if not commit or changes is None:
        return None
    return commit + "+" * bool(changes)


def _git(root: Path, *arguments: str) -> str | None:
    """None if git is missing, refuses or takes too long."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},  # a look changes nothing there
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
