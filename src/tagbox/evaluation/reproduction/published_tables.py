"""The paper's Table 1 and Table 2, as data: mean improvement in SDR over the mixture, dB."""

from dataclasses import dataclass
from typing import Literal

CITATION = (
    "Ethan Manilow, Patrick O'Reilly, Prem Seetharaman, Bryan Pardo: Unsupervised Source Separation By "
    "Steering Pretrained Music Models. arXiv:2110.13071, 2021 (ICASSP 2022)"
)
STEPS = 100
"""Of the loop, in the paper."""

Kind = Literal["trained", "baseline", "tagbox"]


@dataclass(frozen=True)
class System:
    """A row of the tables.

    Attributes:
        method: a baseline's or a tagger's name here; "" for systems that are trained to separate.
    """

    name: str
    kind: Kind
    method: str = ""


OPEN_UNMIX = System("Open-Unmix", "trained")
DEMUCS = System("Demucs", "trained")
CERBERUS = System("Cerberus", "trained")
HPSS = System("HPSS", "baseline", "hpss")
REPET_SIM = System("REPET-SIM", "baseline", "repet-sim")
MTAT_FCN = System("TagBox, MTAT FCN", "tagbox", "mtat/fcn")
MTAT_HCNN = System("TagBox, MTAT HCNN", "tagbox", "mtat/hcnn")
JAMENDO_FCN = System("TagBox, Jamendo FCN", "tagbox", "jamendo/fcn")
JAMENDO_HCNN = System("TagBox, Jamendo HCNN", "tagbox", "jamendo/hcnn")


@dataclass(frozen=True)
class PublishedTable:
    """Figures by system, one for each of `sources`; None where the paper has none."""

    number: int
    dataset: str
    sources: tuple[str, ...]
    figures: dict[System, tuple[float | None, ...]]

    def figure(self, system: System, source: str) -> float | None:
        """What the paper gives, dB."""
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
