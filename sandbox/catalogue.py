"""Makes and models for the fake vPIC API to serve."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SAMPLE = Path(__file__).parent / "data" / "models.csv"
COLUMNS = ("make_id", "make_name", "model_id", "model_name")


@dataclass(frozen=True)
class Catalogue:
    """Makes by id, and the models of each make as (id, name) in the order of serving."""

    makes: dict[int, str]
    models: dict[int, list[tuple[int, str]]]

    @classmethod
    def sample(cls) -> Self:
        """Return eleven well-known makes with their real NHTSA ids, and about 10 models each."""
        return cls.from_csv(SAMPLE)

    @classmethod
    def from_csv(cls, path: Path | str) -> Self:
        """Read a file with the columns make_id, make_name, model_id, model_name.

        Names are served untrimmed. Raise ValueError, with the line, if the file is malformed.
        """
        return cls.from_csv_text(Path(path).read_text(encoding="utf-8"))

    @classmethod
    def from_csv_text(cls, text: str) -> Self:
        """Like `from_csv`, for the content of such a file."""
        rows = csv.DictReader(io.StringIO(text, newline=""))
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"the first line lacks the columns {', '.join(missing)}")
        catalogue = cls({}, {})
        for row in rows:
            try:
                catalogue._add(row)
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {rows.line_num}: {error}") from None
        return catalogue

    @classmethod
    def from_all_makes(cls, path: Path | str, models_per_make: int = 4) -> Self:
        """Return the makes of a recorded GetAllMakes answer, with made-up models for each."""
        envelope = json.loads(Path(path).read_text(encoding="utf-8"))
        makes = {row["Make_ID"]: row["Make_Name"] for row in envelope["Results"]}
        return cls(makes, _made_up_models(makes, models_per_make))

    @classmethod
    def made_up(cls, makes: int, models_per_make: int) -> Self:
        """Return makes with the ids 1, 2, 3… and made-up models, the same at every call."""
        names = {make_id: f"Make {make_id}" for make_id in range(1, makes + 1)}
        return cls(names, _made_up_models(names, models_per_make))

    def _add(self, row: dict[str, str | None]) -> None:
        make_id, make_name, model_id, model_name = (row[name] for name in COLUMNS)
        if None in (make_id, make_name, model_id, model_name):
            raise ValueError("has too few columns")
        make = int(make_id or "")
        self.makes.setdefault(make, make_name or "")
        self.models.setdefault(make, []).append((int(model_id or ""), model_name or ""))


def _made_up_models(
    make_ids: Iterable[int], models_per_make: int
) -> dict[int, list[tuple[int, str]]]:
    # Ids depend on the make alone, so that adding or removing other makes does not change them.
    return {
        make_id: [
            (make_id * models_per_make + number, f"Model {number + 1}")
            for number in range(models_per_make)
        ]
        for make_id in make_ids
    }
