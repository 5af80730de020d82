from ccf_llm.errors import CCFError, one_line


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    error = CCFError("t.csv: no column `a\nb`; it has c\u2028d")
    assert str(error) == "t.csv: no column `a b`; it has c d"
    assert one_line(ValueError("\n first \nsecond")) == "first"
