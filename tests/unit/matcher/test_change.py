"""When a text is another text."""

import time
from itertools import product

import pytest

from services.matcher.domain.change import materially_different

LONG = (
    "Nos automates ouvrent les vannes de quarante exploitations d’agrumes entre Taroudant et Ouled Teïma, encore à "
    "heure fixe. Nous cherchons un partenaire pour mettre au point une sonde d’humidité du sol alimentée par une pile "
    "pendant deux saisons, reliée en LoRa à notre passerelle et étalonnée dans nos sols salins."
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Capteurs de sol", "Capteurs de sol"),
        ("Capteurs de sol", "CAPTEURS DE SOL !"),
        ("Capteurs de sol", "Capteur du sol"),
        ("Recherche cpateurs", "Recherche capteurs"),
        ("Détection d’intrusions", "Detection d'intrusions"),
        ("Tensiometre connecté", "Tensiomètres connectés"),
        ("Sol, eau, capteurs", "Capteurs, eau et sol"),
        ("تطوير مستشعرات التربة", "تَطوير مستشعرات  التربة"),
        (LONG, LONG.replace("quarante", "cinquante")),
        (LONG, LONG + " Réponse souhaitée."),
        (LONG, LONG.replace("exploitations", "explotations").replace("partenaire", "partenire")),
        ("", ""),
    ],
)
def test_a_correction_is_not_another_text(before: str, after: str) -> None:
    assert not materially_different(before, after)
    assert not materially_different(after, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Capteurs pour le blé", "Capteurs pour le riz"),
        ("Réseau 4G privé", "Réseau 5G privé"),
        ("Capteurs de sol", "Capteurs de sel"),
        ("Tri de clémentines", "Tri de clémentines et de déchets plastiques"),
        ("تطوير مستشعرات التربة", "تطوير مستشعرات الهواء"),
        (LONG, LONG + " Il nous faut aussi un laboratoire de microbiologie pour analyser nos composts de marc."),
        (LONG, LONG[:150]),
        (LONG, ""),
        ("?", "!"),
    ],
)
def test_another_subject_is_another_text(before: str, after: str) -> None:
    assert materially_different(before, after)
    assert materially_different(after, before)


def test_the_longest_texts_are_compared_in_no_time() -> None:
    one = " ".join("mot" + "".join(letters) for letters in product("abcdefghijkl", repeat=3))
    began = time.perf_counter()
    assert materially_different(one, one.replace("mot", "nuage"))
    assert not materially_different(one, one.replace("motab", "motba"))
    assert time.perf_counter() - began < 1
