import pytest

from stages.surnames.alphabet import SYMBOLS, clean_name, encode_name


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Ślusàrski", "Slusarski"),
        ("O'Néàl", "O'Neal"),
        ("To The First\u00a0 Page", "To The First Page"),
        ("Jung ", "Jung "),
        ("Groß-Łuk", "Grouk"),
        ("1", ""),
    ],
)
def test_accents_go_and_unknown_symbols_are_dropped(name, clean):
    assert clean_name(name) == clean


def test_there_are_57_symbols_and_an_unknown_one_is_no_symbol():
    assert len(SYMBOLS) == 57
    assert encode_name("aZ'") == [0, 51, 56]
    with pytest.raises(ValueError):
        encode_name("ß")
