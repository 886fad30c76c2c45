"""The paper's Table 1 and Table 2 as data: mean improvement of SDR over the mixture, dB."""

from dataclasses import dataclass
from typing import Literal

CITATION = (
    "Ethan Manilow, Patrick O'Reilly, Prem Seetharaman, Bryan Pardo: Unsupervised Source Separation By "
    "Steering Pretrained Music Models. arXiv:2110.13071, 2021 (ICASSP 2022)"
)
PUBLISHED_STEPS = 100
"""Steps of the steering loop in the paper."""

PublishedKind = Literal["trained", "baseline", "tagbox"]


@dataclass(frozen=True)
class PublishedSystem:
    """A system in the rows of the tables.

    Attributes:
        name: as the paper has it.
        kind: "trained" where it was trained to separate.
        model: the name that TagBox has for the baseline or the tagger; "" for trained systems.
    """

    name: str
    kind: PublishedKind
    model: str = ""


OPEN_UNMIX = PublishedSystem("Open-Unmix", "trained")
DEMUCS = PublishedSystem("Demucs", "trained")
CERBERUS = PublishedSystem("Cerberus", "trained")
HPSS = PublishedSystem("HPSS", "baseline", "hpss")
REPET_SIM = PublishedSystem("REPET-SIM", "baseline", "repet-sim")
MTAT_FCN = PublishedSystem("TagBox, MTAT FCN", "tagbox", "mtat/fcn")
MTAT_HCNN = PublishedSystem("TagBox, MTAT HCNN", "tagbox", "mtat/hcnn")
JAMENDO_FCN = PublishedSystem("TagBox, Jamendo FCN", "tagbox", "jamendo/fcn")
JAMENDO_HCNN = PublishedSystem("TagBox, Jamendo HCNN", "tagbox", "jamendo/hcnn")


@dataclass(frozen=True)
class PublishedTable:
    """One of the paper's tables.

    Attributes:
        number: in the paper.
        dataset: name of the data set.
        sources: the queries, in the order of the columns.
        figures: for each system a value (dB) for each of `sources`; None where the paper has none.
    """

    number: int
    dataset: str
    sources: tuple[str, ...]
    figures: dict[PublishedSystem, tuple[float | None, ...]]

    def figure(self, system: PublishedSystem, source: str) -> float | None:
        """Return the published value (dB), or None."""
        return self.figures[system][self.sources.index(source)]


TABLES = (
    PublishedTable(
        1,
        "MUSDB18",
        ("vocals", "bass", "drums"),
        {
            OPEN_UNMIX: (15.0, 11.9, 11.6),
            DEMUCS: (15.5, 13.1, 12.7),
            CERBERUS: (None, 8.3, 7.5),
            HPSS: (None, None, -0.1),
            REPET_SIM: (7.8, None, None),
            MTAT_FCN: (7.9, None, 5.7),
            MTAT_HCNN: (6.6, None, 5.0),
            JAMENDO_FCN: (7.4, 7.1, 5.9),
            JAMENDO_HCNN: (6.8, 6.7, 5.8),
        },
    ),
    PublishedTable(
        2,
        "Slakh2100",
        ("bass", "drums", "guitar", "piano", "strings"),
        {
            OPEN_UNMIX: (9.8, 14.4, None, None, None),
            DEMUCS: (10.8, 15.5, None, None, None),
            CERBERUS: (10.8, 15.4, 10.2, 10.5, 12.5),
            HPSS: (None, 0.3, None, None, None),
            MTAT_FCN: (None, 7.3, 9.6, 8.6, 10.4),
            MTAT_HCNN: (None, 6.5, 8.8, 7.3, 8.5),
            JAMENDO_FCN: (6.9, 7.3, 9.3, 8.7, 10.5),
            JAMENDO_HCNN: (6.7, 7.3, 8.3, 8.1, 9.0),
        },
    ),
)
