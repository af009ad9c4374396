"""The page on the directory names what there is: every field of a user, every kind of method, every bound."""

import re
from pathlib import Path

from tocsin.core.paging.people import METHODS_MAX, RULES_MAX, MethodKind
from tocsin.engines.directory_file import MethodForm, RuleForm, UserForm, parse_directory

PAGE = (Path(__file__).parents[2] / "docs" / "directory.md").read_text(encoding="utf-8")


def named(table: str) -> set[str]:
    """What the first column of a table names, and the cells of the others that are names of fields."""
    rows = PAGE.partition(table)[2].partition("\n\n")[0]
    return {name for row in re.findall(r"^\| (`[^|]+) \|", rows, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}


def test_each_field_of_a_user_is_named_and_no_other() -> None:
    assert named("| Field | Meaning |\n|---|---|\n") == set(UserForm.model_fields)
    for form in (MethodForm, RuleForm):
        for field in form.model_fields:
            assert f"`{field}`" in PAGE


def test_each_kind_of_method_is_named_and_no_other() -> None:
    assert named("| Kind | Address |\n|---|---|\n") == {*MethodKind}


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"at most {METHODS_MAX}: `id`" in PAGE
    assert f"at most {RULES_MAX}: `method`" in PAGE


def test_the_example_is_good() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    content = parse_directory(example.encode(), "the example")

    assert [service.id for service in content.services] == ["payments", "reports"]
    assert [user.id for user in content.users] == ["ann", "bob"]
