"""What a command does before it does anything: it imports what it needs, and stays right without the rest."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import z3
from pydantic import TypeAdapter, ValidationError

from harness import cli
from harness.check.solver.logic import RELATIONS, rational, unchecked
from harness.contracts.trees import All, Any_, Compare, Criterion, Expression, Hyp, Not, Num, Op, Ref

REPO = Path(__file__).parents[2]
RATE = Ref(measure="m", column="rate", select={"arm": ("a",)})
ABOVE = Compare(left=Op(op="-", left=RATE, right=Num(value="1/2")), rel=">", right=Num(value="0"), text="x", line=3)


def commands(command: str) -> set[str]:
    """The commands that the parser of ``command`` knows."""
    (action,) = [each for each in cli._parser(command)._actions if each.choices]
    return set(action.choices or ())


@pytest.mark.parametrize("module", cli._MODULES)
def test_a_module_has_the_commands_that_it_is_listed_with(module: str) -> None:
    names = set(cli._MODULES[module])
    for name in names:
        assert commands(name) == names


def test_without_a_command_there_are_all() -> None:
    every = {name for names in cli._MODULES.values() for name in names}
    assert commands("") == commands("--help") == commands("chekc") == every


def test_check_imports_nothing_that_it_does_not_need() -> None:
    heavy = {"lark", "numpy", "scipy", "pandas", "torch", "pyarrow", "pytest", "email", "harness.cli_store", "rfc8785"}
    code = (
        "import sys; from harness.cli import main; sys.argv[1:] = ['check', 'preregs/issue_310_v2.yaml']; main();"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    # rfc8785 writes the floats of what was registered.
    assert done.stdout.splitlines()[-1] == "['rfc8785']"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["preregs/issue_310_v2.yaml"], 0, "preregs/issue_310_v2.yaml: 2 warnings, 1 note"),
        (["--no-allow", "preregs/issue_310.yaml"], 1, "preregs/issue_310.yaml: 6 errors, 6 warnings, 2 notes"),
        (["preregs/issue_310_v2.yaml", "preregs/none.yaml"], 2, "preregs/issue_310_v2.yaml: 2 warnings, 1 note"),
    ],
)
def test_a_program_that_ends_at_once_has_said_everything(arguments: list[str], status: int, said: str) -> None:
    code = "import sys; from harness.cli import program; program()"
    command = [sys.executable, "-c", code, "check", *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == said
    assert ("preregs/none.yaml" in done.stderr) == (status == 2)


def test_plugins_of_pydantic_are_left_out_of_our_own_process_only() -> None:
    code = "import sys; from harness.cli import main; main(['check', '--explain', 'LEAK']);"
    loaded = "print('pydantic.plugin._loader' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + loaded], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_z3_checks_types_again_afterwards() -> None:
    with unchecked():
        assert not z3.z3.z3_debug()
    assert z3.z3.z3_debug()
    with pytest.raises(z3.Z3Exception):
        z3.And(z3.Real("x"))


def test_numbers_and_relations_are_z3s_own() -> None:
    half = rational(Fraction(-1, 2))
    assert half.eq(z3.Q(-1, 2))
    x = z3.Real("x")
    assert RELATIONS["<="](x, half).eq(x <= half)


def test_trees_come_back_from_json_as_what_they_were() -> None:
    tree = All(of=(ABOVE, Not(of=Any_(of=(Hyp(name="H1"), ABOVE)))))
    read: TypeAdapter[Criterion] = TypeAdapter(Criterion)
    assert read.validate_json(tree.model_dump_json()) == tree
    assert read.validate_python(tree.model_dump(mode="json")) == tree
    expression = Expression(name="x", text="x", unit="1", tree=ABOVE.left)
    assert Expression.model_validate_json(expression.model_dump_json()) == expression
    assert isinstance(Expression.model_validate(expression.model_dump()).tree, Op)


@pytest.mark.parametrize("node", ["num", "nothing", None])
def test_a_tree_of_another_kind_is_refused(node: str | None) -> None:
    content = ABOVE.model_dump(mode="json")
    criterion = {"node": "not", "of": {"node": node, "value": "1"}}
    with pytest.raises(ValidationError, match="a mapping whose 'node' is one of compare, ci, not"):
        Not.model_validate(criterion)
    content["left"] = ABOVE
    with pytest.raises(ValidationError, match="one of num, ref, neg"):
        Compare.model_validate(content)


def test_the_parts_of_a_tree_are_typed() -> None:
    with pytest.raises(ValidationError, match=r"left\.right|unit"):
        Compare.model_validate({**ABOVE.model_dump(), "left": {"node": "num", "value": "1", "unit": 3}})
