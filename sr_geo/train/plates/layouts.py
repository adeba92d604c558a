"""What plates look like, in millimetres from their top left corner. Texts are in capitals A–Z and digits.

The layouts follow the national rules in size, order, colours and alphabet, and take liberties with emblems: they are for
training and tests, not for anyone to be fooled by.
"""

from dataclasses import dataclass, field

Colour = tuple[int, int, int]

WHITE, BLACK, NAVY, RED, GREEN, YELLOW = (244, 244, 240), (18, 18, 20), (28, 42, 94), (190, 28, 40), (22, 96, 58), (246, 200, 40)
EU_BLUE, SKY = (16, 56, 150), (62, 172, 204)

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CYRILLIC_LOOK = "ABEKMHOPCTYX"
"""The twelve letters that Russian plates share between both alphabets, written as Latin ones."""


@dataclass(frozen=True, slots=True)
class Token:
    """Characters in a row."""

    patterns: tuple[str, ...]
    """One is drawn: `0` is a digit, `A` a letter of the layout's alphabet, anything else stands for itself."""
    height: float
    """Of the capitals."""
    pitch: float
    """From one character to the next."""
    gap: float = 0.0
    """Free space before it."""


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens side by side, centred between two ends."""

    left: float
    right: float
    baseline: float
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    left: float
    top: float
    right: float
    bottom: float
    colour: Colour
    radius: float = 0.0


@dataclass(frozen=True, slots=True)
class Words:
    """Small print, centred on a point; not part of the text."""

    text: str
    x: float
    baseline: float
    height: float
    colour: Colour
    slanted: bool = False


@dataclass(frozen=True, slots=True)
class Disc:
    """A round seal, star, bolt or sticker."""

    x: float
    y: float
    radius: float
    colour: Colour


Mark = Box | Words | Disc


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of plate."""

    country: str
    name: str
    size: tuple[float, float]
    """Width and height."""
    lines: tuple[Line, ...]
    """In reading order."""
    marks: tuple[Mark, ...] = ()
    alphabet: str = LATIN
    ink: Colour = BLACK
    paper: tuple[Colour, Colour] = (WHITE, WHITE)
    """Colours at the top and the bottom, with all between."""
    rim: Colour | None = BLACK
    """Border line; None for plates without."""
    stretch: float = 1.0
    """Width of the characters relative to the font's."""
    narrow: bool = False
    """Barlow's condensed letters and not the semi-condensed ones."""
    share: float = field(default=1.0)
    """How often, relative to the other layouts of the country."""


def _band(code: str, *, left: float = 4.0, stars: bool = True) -> tuple[Mark, ...]:
    """The blue band of European plates: twelve stars, the country's letters."""
    from math import cos, pi, sin

    middle = left + 20.0
    ring = tuple(Disc(middle + 12.0 * sin(k * pi / 6), 34.0 - 12.0 * cos(k * pi / 6), 2.3, YELLOW) for k in range(12)) if stars else ()
    return (Box(left, 4.0, left + 40.0, 108.0, EU_BLUE, 4.0), *ring, Words(code, middle, 94.0, 24.0, WHITE))


def _european(
    name: str,
    code: str,
    *lines: tuple[Token, ...],
    ends: tuple[float, ...] = (54.0, 510.0),
    marks: tuple[Mark, ...] = (),
    alphabet: str = LATIN,
    colour: Colour = WHITE,
    share: float = 1.0,
) -> Layout:
    """A plate with the blue band; the n-th line stands between the n-th pair of `ends`."""
    placed = tuple(Line(left, right, 94.0, tokens) for left, right, tokens in zip(ends[::2], ends[1::2], lines, strict=True))
    return Layout("eu", name, (520.0, 112.0), placed, (*_band(code), *marks), alphabet, paper=(colour, colour), stretch=1.12, share=share)


def _token(*patterns: str, gap: float = 0.0) -> Token:
    return Token(patterns, 76.0, 51.0, gap)


DASH = Token(("-",), 76.0, 26.0)

KAZAKHSTAN = (
    Layout(
        "kz",
        "2012",
        (520.0, 112.0),
        (
            Line(74.0, 408.0, 94.0, (Token(("000",), 76.0, 54.0), Token(("AAA", "AA"), 58.0, 50.0, 12.0))),
            Line(418.0, 508.0, 94.0, (Token(tuple(f"{region:02d}" for region in range(1, 21)), 70.0, 44.0),)),
        ),
        (
            Box(410.0, 4.0, 413.0, 108.0, BLACK),
            Box(16.0, 20.0, 62.0, 50.0, SKY),
            Disc(39.0, 33.0, 8.0, YELLOW),
            Words("KZ", 39.0, 92.0, 28.0, BLACK),
        ),
    ),
)

_REGIONS = (
    "77",
    "99",
    "97",
    "177",
    "199",
    "197",
    "777",
    "799",
    "78",
    "98",
    "178",
    "50",
    "90",
    "150",
    "750",
    "16",
    "116",
    "23",
    "123",
    "54",
    "66",
    "96",
)

RUSSIA = (
    Layout(
        "ru",
        "car",
        (520.0, 112.0),
        (
            Line(14.0, 384.0, 92.0, (Token(("A",), 58.0, 48.0), Token(("000",), 76.0, 52.0, 8.0), Token(("AA",), 58.0, 48.0, 10.0))),
            Line(396.0, 508.0, 66.0, (Token(_REGIONS, 54.0, 36.0),)),
        ),
        (
            Box(387.0, 4.0, 390.0, 108.0, BLACK),
            Words("RUS", 430.0, 98.0, 21.0, BLACK),
            Box(462.0, 78.0, 500.0, 84.6, WHITE),
            Box(462.0, 84.6, 500.0, 91.3, (30, 70, 160)),
            Box(462.0, 91.3, 500.0, 98.0, RED),
        ),
        CYRILLIC_LOOK,
    ),
)

_RIGHT_BAND = Box(476.0, 4.0, 516.0, 108.0, EU_BLUE, 4.0)

EUROPE = (
    _european(
        "germany",
        "D",
        (_token("B", "M", "HH", "K", "S", "F", "MN", "AE", "WOB", "ROF", "DD"),),
        (_token("AA", "A"), _token("0000", "000", "00", gap=20.0)),
        ends=(50.0, 172.0, 212.0, 510.0),
        marks=(Disc(192.0, 34.0, 15.0, (206, 150, 120)), Disc(192.0, 76.0, 16.0, (176, 178, 186))),
        share=2.0,
    ),
    _european("poland", "PL", (_token("WA", "KR", "PO", "GD", "WI", "LU", "DW"), _token("00000", "0000A", "000AA", gap=26.0))),
    _european(
        "france",
        "F",
        (_token("AA"), DASH, _token("000"), DASH, _token("AA")),
        ends=(50.0, 470.0),
        marks=(_RIGHT_BAND, Words("75", 496.0, 94.0, 22.0, WHITE)),
    ),
    _european("italy", "I", (_token("AA"), _token("000AA", gap=20.0)), ends=(50.0, 470.0), marks=(_RIGHT_BAND,)),
    _european("spain", "E", (_token("0000"), _token("AAA", gap=32.0)), alphabet="BCDFGHJKLMNPRSTVWXYZ"),
    _european("netherlands", "NL", (_token("AA"), DASH, _token("000"), DASH, _token("A")), alphabet="BDFGHJKLNPRSTVXZ", colour=YELLOW),
    _european("czechia", "CZ", (_token("0A0"), _token("0000", gap=36.0)), alphabet="ABCEHJKLMPSTUZ"),
    _european("lithuania", "LT", (_token("AAA"), _token("000", gap=36.0))),
)

_BOLTS = tuple(Disc(x, y, 3.6, (96, 92, 86)) for x in (62.0, 243.0) for y in (13.0, 139.0))


def _american(
    state: str,
    patterns: tuple[str, ...],
    *,
    ink: Colour,
    title: Colour,
    motto: str = "",
    paper: tuple[Colour, Colour] = (WHITE, WHITE),
    marks: tuple[Mark, ...] = (),
    slanted: bool = False,
) -> Layout:
    lettering: tuple[Mark, ...] = (Words(state, 152.5, 29.0, 19.0, title, slanted),)
    if motto:
        lettering += (Words(motto, 152.5, 145.0, 10.0, title),)
    token = Token(patterns, 66.0, 37.0)
    return Layout(
        "us",
        state.lower(),
        (305.0, 152.0),
        (Line(10.0, 295.0, 114.0, (token,)),),
        (*marks, *_BOLTS, *lettering),
        ink=ink,
        paper=paper,
        rim=None,
        narrow=True,
    )


_STICKER = (
    Box(8.0, 8.0, 44.0, 30.0, (232, 196, 60), 2.0),
    Words("APR", 26.0, 24.0, 10.0, BLACK),
    Box(262.0, 8.0, 297.0, 30.0, (70, 160, 120), 2.0),
)

AMERICA = (
    _american("California", ("0AAA000",), ink=NAVY, title=RED, motto="dmv.ca.gov", slanted=True, marks=_STICKER),
    _american("TEXAS", ("AAA-0000", "AAA 0000"), ink=BLACK, title=BLACK, motto="The Lone Star State", marks=(Disc(40.0, 22.0, 7.0, RED),)),
    _american(
        "NEW YORK",
        ("AAA-0000", "AAA 0000"),
        ink=NAVY,
        title=WHITE,
        motto="",
        marks=(Box(0.0, 0.0, 305.0, 34.0, NAVY), Box(0.0, 132.0, 305.0, 152.0, NAVY)),
    ),
    _american("NEW YORK ", ("AAA 0000",), ink=NAVY, title=NAVY, motto="EMPIRE STATE", paper=((238, 176, 56), (226, 160, 48))),
    _american(
        "FLORIDA",
        ("AAA A00", "AA0 0AA"),
        ink=GREEN,
        title=GREEN,
        motto="SUNSHINE STATE",
        paper=(WHITE, (222, 236, 214)),
        marks=(Disc(150.0, 82.0, 17.0, (244, 166, 72)), Disc(162.0, 90.0, 14.0, (244, 180, 90))),
    ),
    _american(
        "COLORADO",
        ("000-AAA", "AAA-A00"),
        ink=WHITE,
        title=GREEN,
        marks=(Box(0.0, 36.0, 305.0, 152.0, (30, 92, 66)), Box(0.0, 32.0, 305.0, 40.0, (140, 180, 160))),
    ),
    _american("ARIZONA", ("AAA0000",), ink=(30, 60, 70), title=WHITE, motto="GRAND CANYON STATE", paper=((96, 170, 180), (240, 196, 150))),
    _american("WASHINGTON", ("AAA0000", "000-AAA"), ink=NAVY, title=RED, motto="EVERGREEN STATE", paper=((214, 228, 242), WHITE)),
    _american(
        "Illinois",
        ("AA 00000", "A00 0000"),
        ink=RED,
        title=NAVY,
        motto="Land of Lincoln",
        paper=((206, 224, 240), WHITE),
        marks=_STICKER,
        slanted=True,
    ),
    _american(
        "PENNSYLVANIA",
        ("AAA-0000", "AAA 0000"),
        ink=NAVY,
        title=WHITE,
        marks=(Box(0.0, 0.0, 305.0, 36.0, (34, 74, 150)), Box(0.0, 130.0, 305.0, 152.0, YELLOW)),
    ),
    _american(
        "OHIO",
        ("AAA 0000",),
        ink=NAVY,
        title=NAVY,
        motto="BIRTHPLACE OF AVIATION",
        paper=(WHITE, (226, 230, 240)),
        marks=(Box(0.0, 0.0, 305.0, 8.0, RED),),
    ),
)

_CITIES = ("SP - SAO PAULO", "RJ - NITEROI", "MG - CONTAGEM", "BA - SALVADOR")


def _brazilian(name: str, *, paper: Colour, ink: Colour, city: str, share: float) -> Layout:
    """The gray plate with three letters and four digits, a place above them: issued until 2020, on the roads far longer."""
    letters, digits = Token(("AAA",), 66.0, 50.0), Token(("0000",), 66.0, 50.0, 4.0)
    line = Line(14.0, 386.0, 110.0, (letters, Token(("-",), 66.0, 26.0), digits))
    return Layout("br", name, (400.0, 130.0), (line,), (Words(city, 200.0, 32.0, 17.0, ink),), ink=ink, paper=(paper, paper), share=share)


BRAZIL = (
    *(_brazilian(f"private {city[:2]}", paper=(176, 178, 180), ink=BLACK, city=city, share=1.0) for city in _CITIES),
    _brazilian("for hire", paper=RED, ink=WHITE, city="SP - CAMPINAS", share=0.4),
)

LAYOUTS = {"kz": KAZAKHSTAN, "ru": RUSSIA, "eu": EUROPE, "us": AMERICA, "br": BRAZIL}
