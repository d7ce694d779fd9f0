"""Function words of the three languages: they name no subject, and are a third of a text's words.

Compiled for Maillage from the closed classes of each language (articles, pronouns, prepositions, conjunctions,
auxiliaries, adverbs of degree), each word folded like the text it is looked up for. A word that members use in another
sense too stays out when that sense matters more: AI is a subject, "(j')ai" is rare here. No word of one subject or
trade belongs here: frequency decides about those.
"""

from __future__ import annotations

from services.matcher.index.text.letters import fold


def _words(text: str) -> frozenset[str]:
    return frozenset(fold(word) for word in text.split())


FRENCH = _words("""
    a à afin aie aient ainsi ait alors après as au aucun aucune aujourd aura aurait auraient auront aussi autre
    autres aux avaient avait avant avec avez avoir avons ayant c car ce ceci cela celle celles celui cependant ces
    cet cette ceux chaque chez ci comme comment d dans de depuis des dès doit doivent donc dont du elle elles en
    encore entre es est et étaient était étant été être eu eux fait faire faut font furent fut grâce hors hui il ils
    j je jusqu jusque l la là laquelle le lequel les lesquelles lesquels leur leurs lors lorsqu lorsque lui m ma
    mais malgré me même mêmes mes mien moi moins mon n ne ni nos notre nôtre nous on ont ou où par parce parmi pas
    pendant peu peut peuvent plus plusieurs pour pourquoi puis puisqu puisque qu quand que quel quelle quelles quels
    quelqu quelque quelques qui quoi quoique s sa sans se selon sera serait seraient seront ses seul seule si sien
    soi soient sois soit sommes son sont sous suis sur t ta tandis te tel telle telles tels tes toi ton toujours
    tous tout toute toutes très tu un une vers via voici voilà vos votre vôtre vous y
""")

ENGLISH = _words("""
    a about above after again against all also although am an and any are as at be because been before being below
    between both but by can cannot could did do does doing down during each either et etc few for from further had
    has have having he her here hers herself him himself his how however i if in into is it its itself just may me
    might more most must my myself neither nor not of off on once only onto or other our ours ourselves out over own
    per same shall she should so some such than that the their theirs them themselves then there therefore these
    they this those through thus to too toward towards under until up upon us very via was we were what when where
    whereas whether which while who whom whose why will with within without would you your yours yourself yourselves
    d ll m re s t ve
""")

ARABIC = _words("""
    ال في من على إلى عن مع هذا هذه هذان هؤلاء ذلك تلك أولئك التي الذي الذين اللذان اللتان اللاتي اللواتي ما ماذا متى
    أين كيف كم هل لماذا هو هي هم هن هما أنا نحن أنت أنتم كان كانت كانوا يكون تكون ليس ليست أن إن أنه أنها إنه إنها
    لأن كما أو أم ثم لا لم لن لو قد لقد كل بعض بعد قبل بين حتى عند عندما عندها حيث غير منذ خلال ضمن نحو أي أيضا لكن
    لكنه إذا إذ بل سوف فقط ذات عليه عليها فيه فيها منه منها له لها لهم به بها بهم إليه إليها وقد وهو وهي ولا وما ومن
    وفي وعلى وأن ولم كذلك بذلك لذلك مثل حول دون لدى لدي لنا بما مما فيما عما إما أما إلا يتم تم
""")

FRENCH_IN_ENGLISH = _words("au aux d de des du en et l la le les sur")
"""French words that stand in names quoted by English texts (Université de la Manche)."""

ACRONYMS = frozenset({"AI", "AM", "AS", "CE", "EST", "IS", "IT", "MES", "OR", "SA", "SI", "UN", "US"})
"""Function words that, alone in capitals, are a subject or a body: IT departments, the CE mark, an MES, the UN."""

CODE_NAMES = _words("astm cei covid iatf iec ieee iso mrl rfc trl")
"""What a number after a space belongs to: ISO 13485 and TRL 6 are one name each, "capteurs 6" is not."""

BOUND_PREFIXES = _words("""
    aero agro cyber electro immuno micro multi nano neuro opto photo radio thermo ultra
""")
"""First halves that writers join to their word, hyphenate or set apart, as they like: micro-capteurs, microcapteurs."""

SPACED_PREFIXES = BOUND_PREFIXES - {"photo", "radio"}
"""Those that are no words of their own, so that a space after them joins too."""
