"""The matcher's index: text to terms, offers to exact TF-IDF scores, scores to evidence; no I/O, clock or framework."""

from services.matcher.index.compiled.numeric import load_without_blas
from services.matcher.index.compiled.weighting import Weighting
from services.matcher.index.evidence import informative
from services.matcher.index.offers import ENGINE_VERSION, OfferIndex
from services.matcher.index.requests import RequestIndex
from services.matcher.index.results import Explanation, Match, Request, SharedTerm, Vote, Weighed
from services.matcher.index.text.analysis import ANALYSER_VERSION, AnalysedText, Analyser, Token
from services.matcher.index.text.fields import Field, Span
from services.matcher.index.text.recognising import recognised

load_without_blas()

__all__ = [
    "ANALYSER_VERSION",
    "ENGINE_VERSION",
    "AnalysedText",
    "Analyser",
    "Explanation",
    "Field",
    "Match",
    "OfferIndex",
    "Request",
    "RequestIndex",
    "SharedTerm",
    "Span",
    "Token",
    "Vote",
    "Weighed",
    "Weighting",
    "informative",
    "recognised",
]
