"""Where the score is the TF-IDF of scikit-learn, which is where its definition starts from."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from services.matcher.index import Analyser, OfferIndex, Weighting

OFFERS = [
    "électrolyse de l'eau pour l'hydrogène, l'hydrogène et l'hydrogène",
    "capteurs LoRa pour l'eau",
    "capteurs, capteurs, capteurs et capteurs pour l'usine",
    "طاقة شمسية للصناعة",
    "wireless sensors for water networks, 5G networks",
    "emballages en carton recyclé pour l'usine",
]
REQUESTS = ["hydrogène et eau, eau surtout", "capteurs capteurs capteurs pour une usine 5G", "الطاقة للصناعة xylophone"]
FOR_EVER = 1e12
"""Distinct words from which on a request would be compared like a document: none has them."""


@pytest.mark.parametrize("k1", [1e-9, 0.9, 2.0])
def test_words_alone_have_the_weights_of_scikit_learn_with_the_idf_and_saturation_of_bm25(k1: float) -> None:
    analyser = Analyser()
    # Floats, like the constants in use: for integers the engine would be compiled anew.
    plain = Weighting(k1=k1, b=0.0, c=FOR_EVER, rarity=0.0, opening=0, bigram=0.0, variant=0.0, text=1.0, name=0.0)
    index = OfferIndex(analyser, plain)
    for number, text in enumerate(OFFERS):
        index.put(f"d{number}", f"m{number}", text)

    counts = CountVectorizer(analyzer=lambda text: [token.term for token in analyser.analyse(text).tokens])
    offers = counts.fit_transform(OFFERS).astype(float)
    tfidf = TfidfTransformer(sublinear_tf=True).fit(offers)  # 1 + ln(times), l2 norm
    held = np.bincount(offers.indices, minlength=offers.shape[1])
    tfidf.idf_ = np.log(1 + (len(OFFERS) - held + 0.5) / (held + 0.5))  # BM25's instead of 1 + ln((1 + n) / (1 + held))
    saturated = offers.copy()
    saturated.data = offers.data * (k1 + 1) / (offers.data + k1)
    expected = (tfidf.transform(counts.transform(REQUESTS)) @ saturated.T).toarray()

    for text, scores in zip(REQUESTS, expected, strict=True):
        found = {match.member: match.score for match in index.search(index.request(text), len(OFFERS))}
        assert found == pytest.approx({f"m{n}": score for n, score in enumerate(scores) if score > 0}, abs=1e-6)
        assert found
