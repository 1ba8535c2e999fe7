"""What says something twice is found wherever it stands; what does not is let be, however odd."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof.core.json_members import RepeatedMemberError, require_distinct

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES, st.booleans())
def test_what_a_json_writer_writes_is_distinct(value: object, ascii_only: bool) -> None:
    require_distinct(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":3}',
        '{"a" :{} , "a" :[]}',
        '{"a":1,"\\u0061":2}',
        '{"é":1,"\\u00e9":2}',
        '{"":1,"":2}',
        '[{"b":{"a":1,"a":2}}]',
        '{"x":[[[{"y":{"a":":","a":":"}}]]]}',
        '{"a":1' + "0" * 5000 + ',"a":1e9}',
    ],
)
def test_two_members_of_one_name_are_found(text: str) -> None:
    with pytest.raises(RepeatedMemberError, match="is there twice"):
        require_distinct(text.encode())


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(RepeatedMemberError) as refused:
        require_distinct(b'{"%b":1,"%b":1}' % ((b"a" * 10_000,) * 2))
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("text", ['{"a":"a:a","b":"\\"a\\":1"}', '[":",":"]', '":::"', "{}", "[]"])
def test_colons_elsewhere_are_no_members(text: str) -> None:
    require_distinct(text.encode())
