"""Names that modules use of each other stand in ``__all__``: the package as it is, and each breach in a made-up one."""

from __future__ import annotations

from pathlib import Path

import pytest

from programs.lint_exports import breaches, main

OTHER = """\
__all__ = ["Public", "public"]

class Public:
    field = 1

def public(): ...
def forgotten(): ...
_private = 1
"""
FILES = {
    "__init__.py": "",
    "deep/__init__.py": "",
    "deep/other.py": OTHER,
    "bare.py": "bare = 1\n",
    "computed.py": 'bare = 1\n__all__ = [name for name in ("bare",)]\n',
}

BREACHES = {
    "a name that is not exported": (
        "from made_up.deep.other import forgotten",
        "made_up/user.py:1: `forgotten` is not in __all__ of made_up.deep.other; add it there",
    ),
    "the same by the module's name": (
        "from made_up.deep import other as o\n\n\ndef use():\n    return o.forgotten()",
        "made_up/user.py:5: `forgotten` is not in __all__ of made_up.deep.other; add it there",
    ),
    "the same by the module's whole path": (
        "import made_up.deep.other\n\nmade_up.deep.other.forgotten()",
        "made_up/user.py:3: `forgotten` is not in __all__ of made_up.deep.other; add it there",
    ),
    "the same in a function that imports late": (
        "def use():\n    from made_up.deep import other\n\n    return other.forgotten",
        "made_up/user.py:4: `forgotten` is not in __all__ of made_up.deep.other; add it there",
    ),
    "the same in an annotation": (
        "from made_up.deep import other\n\nclass User:\n    def use(self, one: other.forgotten) -> None: ...",
        "made_up/user.py:4: `forgotten` is not in __all__ of made_up.deep.other; add it there",
    ),
    "a private name": (
        "from made_up.deep import other\n\nprint(other._private)",
        "made_up/user.py:3: `_private` is private to made_up.deep.other; give it a public name in __all__ there",
    ),
    "a module that exports nothing": (
        "from made_up.bare import bare",
        "made_up/user.py:1: `bare` is used of made_up.bare, which has no __all__ (a literal list); write one there",
    ),
    "a module whose exports can't be read": (
        "from made_up.computed import bare",
        "made_up/user.py:1: `bare` is used of made_up.computed, which has no __all__ (a literal list); write one there",
    ),
    "a name that is exported and isn't there": (
        'import os\n\n__all__ = ["os", "gone"]',
        "made_up/user.py:3: `gone` is in __all__ but not in the module; remove or define it",
    ),
}

SOUND = {
    "exported names": "from made_up.deep.other import Public, public\n\npublic(Public.field)",
    "a package's modules": "import made_up.deep.other\nfrom made_up import deep\n\ndeep.other.public()",
    "a local variable with a module's name": (
        "from made_up.deep import other\n\n\ndef use(other):\n    return other.forgotten\n\n\n"
        "def make():\n    other = use\n    return other._private"
    ),
    "what belongs to every module": "from made_up.deep import other\n\nprint(other.__all__, other.__name__)",
    "names of other packages": "import os.path\nfrom os import _exit\n\nos.path.sep",
    "a name that only a branch defines": (
        '__all__ = ["one"]\ntry:\n    import os\nexcept ImportError:\n    if os:\n        one = 1'
    ),
}


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A package without a breach; its module ``user`` is the test's."""
    package = tmp_path / "made_up"
    (package / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (package / name).write_text(text)
    return package


def test_the_package_as_it_is() -> None:
    """Nothing that another module uses is missing from ``__all__``."""
    assert main() == 0


@pytest.mark.parametrize(("code", "breach"), BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_is_found(made_up: Path, capsys: pytest.CaptureFixture[str], code: str, breach: str) -> None:
    """With its place, and what to do about it; and lint fails."""
    (made_up / "user.py").write_text(code)
    assert main(made_up) == 1
    assert capsys.readouterr().out.splitlines() == [breach]


@pytest.mark.parametrize("code", SOUND.values(), ids=SOUND.keys())
def test_sound_code_is_let_pass(made_up: Path, code: str) -> None:
    """No breach is made up."""
    (made_up / "user.py").write_text(code)
    assert list(breaches(made_up)) == []
