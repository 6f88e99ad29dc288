"""The words of a question: patterns for systems, quantities, intents and references, as tables.

All patterns are applied to lower-case text whose spellings :data:`SPELLINGS` has evened out.
"""
# ruff: noqa: E501  (a pattern that is broken over lines is harder to read than a long one)

from __future__ import annotations

import re
from collections.abc import Callable

SYSTEMS: tuple[tuple[str, str], ...] = (
    ("cardiac", r"hearts?|cardiac|ecg|ekg|rmssd|heart ?rate|heart ?beat|pulse|hrv|herz\w*|coraz[oó]n"),
    ("respiratory", r"breath\w*|respirat\w*|airflow|air flow|lungs?|oxygen\w*|spo2|saturation"
     r"|thora\w+|chest|belts?|effort|atmung|atmet|respiraci[oó]n|ox[ií]geno|sauerstoff\w*"),
    ("brain", r"brain\w*|eeg|eog|eyes?|cortex|cortical|neural|delta|alpha|theta|sigma|gehirn|hirn"
     r"|cerebro"),
    ("somatic", r"muscles?|emg|chin|body|postures?|position|mov(?:e|es|ed|ing)|movements?|somatic|muskel\w*|m[uú]sculos?"),
    ("stage_event", r"stages?|staging|sleep stages?|hypnogram|schlafstadi\w+"),
)  # fmt: skip

# In this order: a longer name hides the shorter one in it.
QUANTITIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ahi_supine", "ahi_nonsupine"), r"(?:supine|positional) (?:vs?\.? non-?supine )?ahi"),
    (("ahi_rem",), r"rem[- ]?ahi|ahi (?:in|during) rem"),
    (("ahi_nrem",), r"n(?:on)?-?rem[- ]?ahi|ahi (?:in|during) n(?:on)?-?rem"),
    (("ahi_1a",), r"(?:ahi (?:by |with )?(?:the )?)?rule 1a|ahi[ _]?1a|ahi by (?:the )?3 ?% ?(?:rule)?|3 ?% rule"),
    (("ahi_1b",), r"(?:ahi (?:by |with )?(?:the )?)?rule 1b|ahi[ _]?1b|ahi by (?:the )?4 ?% ?(?:rule)?|4 ?% rule"),
    (("oahi",), r"oahi|obstructive ahi|obstructive apnea index"),
    (("cai",), r"cai|central apnea index"),
    (("hypopnea_index",), r"(?<!apnea )(?<!apnea-)hypopnea index"),
    (("ahi",), r"ahi|apnea[- ]hypopnea[- ]index|how severe|severity|how bad (?:is|was) the (?:sleep )?apnea"),
    (("apnea_index",), r"apnea index"),
    (("rdi",), r"rdi|respiratory disturbance index"),
    (("odi4",), r"odi[ -]?4|4 ?% odi"),
    (("odi3", "odi4"), r"odi(?:[ -]?3)?|(?:oxygen )?desaturation index|3 ?% odi"),
    (("rem_latency",), r"rem[- ](?:sleep[- ])?(?:onset[- ])?latency|latency to rem"
     r"|(?:when|how long)\b[^?]*\b(?:first|reach|enter|until|get to|before)\b[^?]*\brem"
     r"|when did rem[^?]*(?:start|begin)"),
    (("n3_latency",), r"(?:n3|deep sleep|slow wave sleep) latency|latency to n3"
     r"|(?:when|what time|how long)\b[^?]*\b(?:first|reach|enter|until|get to|before)\b[^?]*\b(?:n3|deep sleep)"),
    (("waso",), r"waso|(?:time )?awake after (?:sleep onset|falling asleep)|wake (?:time )?after (?:sleep )?onset|(?:lie|lay|lying|time|long) awake"
     r"|awake (?:for )?(?:in|during) the night"),
    (("sleep_onset_latency",), r"(?:sleep[- ])?(?:onset[- ])?latency|sol|(?:to )?f[ae]ll asleep"
     r"|sleep onset|einschlaf\w+|dormirse"),
    (("sleep_efficiency",), r"(?:sleep[- ])?efficiency|se|schlafeffizienz|eficiencia"),
    (("sleep_maintenance",), r"sleep maintenance"),
    (("awakenings",), r"awakenings?|(?:times )?[^?]*\bw[oa]ke(?:n|d)? up|how often[^?]*\bwake"),
    (("tst",), r"tst|total sleep(?: time)?|hours of sleep|minutes of sleep"
     r"|how (?:much|long) (?:sleep\b|did \w+(?: \w+)? sleep|was \w+ asleep)|sleep duration"),
    (("spt",), r"spt|sleep period time"),
    (("tib",), r"tib|time in bed"),
    (("trt",), r"trt|total recording time|recording time|how long (?:is|was) the (?:recording|night)"),
    (("t90",), r"t[- ]?90|(?:time|minutes|long)[^?]*(?:below|under) 90|ct90"),
    (("t90", "spo2_nadir", "odi3"), r"hypox\w*"),
    (("arousal_index", "awakenings", "waso"), r"how (?:fragmented|broken|restless|disturbed)|fragmentation"),
    (("spo2_nadir",), r"nadir|(?:lowest|minim\w+|min|worst) (?:blood )?(?:oxygen|o2|spo2|sao2|sats?|saturation)\w*"
     r"(?: (?:saturation|level|value))?|how low[^?]*(?:oxygen|spo2|sats?|saturation)"),
    (("spo2_mean",), r"(?:mean|average|avg|typical) (?:blood )?(?:oxygen|o2|spo2|sao2|sats?|saturation)\w*(?: saturation)?"),
    (("hr_max",), r"(?:max\w*|highest|fastest|peak|top) (?:heart ?rate|hr|pulse|heart ?beat)"),
    (("hr_min",), r"(?:min\w*|lowest|slowest) (?:heart ?rate|hr|pulse|heart ?beat)"),
    (("hr_mean",), r"(?:mean|average|avg|typical) (?:heart ?rate|hr|pulse)"),
    (("hr_mean", "hr_min", "hr_max"), r"heart ?rate|hr|pulse(?: rate)?|beats per minute|bpm"),
    (("arousal_index",), r"arousal index|arousals per hour|ari"),
    (("plm_index",), r"plm[- ]?(?:index|i)|plms? per hour|periodic (?:limb|leg) movement index"),
    (("stage_minutes",), r"(?:how (?:much|long|many (?:minutes|hours))|minutes|time|percent\w*|share|proportion|%|amount)"
     r"[^?]*\b(?:n?-?rem|n[123]|deep|light|stages?|wake|awake)\b(?: sleep)?|sleep architecture"
     r"|stage (?:distribution|percentages|minutes)|how was the sleep (?:structure|staging)"),
    (("position_minutes",), r"(?:how (?:much|long)|minutes|time|percent\w*|what|which)[^?]*"
     r"\b(?:(?:on (?:his|her|their|the) (?:back|side|left|right|stomach|belly))|supine|prone|positions?)\b"
     r"|body position|sleeping positions?"),
)  # fmt: skip

VOCABULARY = (
    "apnea apneas obstructive central mixed hypopnea hypopneas desaturation desaturations arousal "
    "arousals awakenings oxygen saturation efficiency latency describe summary summarize summarise "
    "respiratory breathing cardiac brain heart muscle position longest shortest deepest similar "
    "compare epoch epochs spindle spindles snoring tachycardia bradycardia periodic movements "
    "severity supine position positional second seconds lowest highest average obstruction during night stage "
    "sleep stages percent percentage minutes hours awake asleep index number total duration "
    "time percent proportion duration drowsy arousals obstructive deep breath pulse apnea apneas hypopnea nadir median mean rate latency events event oxygen arousal"
)
KNOWN_WORDS = tuple(VOCABULARY.split())
#: Words that are no slip of a word of the field, although they lie near one.
ORDINARY_WORDS = frozenset(
    [
        "rated",
        "rates",
        "start",
        "stars",
        "state",
        "stated",
        "hear",
        "hart",
        "beat",
        "date",
        "late",
        "mean",
        "meant",
        "even",
        "ever",
        "event",
        "seven",
        "steep",
        "sheep",
        "slept",
        "sleeps",
        "deeper",
        "deepest",
        "breathe",
        "breaths",
        "breathes",
        "plus",
        "pulses",
        "night",
        "nights",
        "might",
        "stage",
        "staged",
        "awaken",
        "total",
        "totals",
        "totally",
        "minute",
        "minutes",
        "hour",
        "ours",
        "hours",
        "per",
        "percentage",
        "wake",
        "woke",
        "wakes",
        "deeply",
        "indexed",
        "numbers",
        "means",
        "media",
    ]
)
#: Turns of phrase that mean what the rules know under another name; after the spelling.
REWORDINGS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\bspontaneous arousals?\b", "arousals without any apneas and hypopneas and leg movements"),
    (r"\b(?:respiratory|breathing|apnea|hypopnea)[- ](?:related |induced |associated )?arousals?\b", "arousals with apneas and hypopneas"),
    (r"\b(?:leg|limb|plm|plms|movement)[- ](?:movement )?(?:related |induced |associated )?arousals?\b", "arousals with leg movements"),
    (r"\b(?:turn(?:ed|s)?(?: over)?|chang(?:e|ed|es|ing) (?:his |her |their |the )?(?:body )?(?:position|posture)|roll(?:ed|s)? over)\b", "position change"),
    (r"\b(?:apnea hypopnea|ahi) (?=events?\b)", "respiratory "),
    (r"\bobstructive sleep apnea\b(?! (?:events?|index))", "osa"),
    (r"\bcentral sleep apnea\b", "csa"),
    (r"\b(?:stopped|stops|stop) breathing\b", "apnea"),
    (r"\b(?:cycles? of sleep|sleep cycles?|nrem-rem cycles?)\b", "sleep cycles"),
    (r"\b(?:left|right)(?: side)? lateral\b|\blateral (?:left|right)\b", lambda match: f"on the {'left' if 'left' in match[0] else 'right'} side"),
    (r"\b(?:on|lying on|sleeping on) (?:his|her|their|the) (?:stomach|belly|front|tummy)\b", "prone"),
    (r"\b(?:beginning|onset|start) of (?=(?:the )?(?:first|second|third|fourth|last) rem)", "when start "),
    (
        r"\bahi (?:without|excluding|not counting|minus) (?:the )?hypopneas?\b",
        "apnea index",
    ),
    (r"\b(?:biggest|largest|greatest|worst|most (?:profound|severe|marked)|severest) (?=(?:oxygen |spo2 |o2 )?(?:desat\w*|dips?|drops?|falls?))", "deepest "),
    (r"\b(?P<what>desat\w*|dip|drop) (?:was|is) (?:the )?(?:most (?:profound|severe|marked)|biggest|worst|lowest)", r"is the deepest \g<what>"),
    (r"\bmax(?:imum|imal)? (?:duration|length) of (?:the |an? )?(?=\w*pnea)", "longest "),
    (r"\bmax(?:imum|imal)? (?P<kind>(?:\w+ )?\w*pneas?) (?:duration|length)", r"longest \g<kind>"),
    (r"\bfinal (?=(?:\w+ )?(?:\w*pnea|arousal|desat|event))", "last "),
    (r"\b(?:went|go|goes|dropped|drops|fell|falls) (?:down )?(?:the )?(?:furthest|farthest|lowest|most|deepest)\b|\b(?:lowest|furthest) (?:drop|dip|fall)\b", "deepest"),
    (r"\b(?:first of|earliest) (?:the |all )?|\bvery first\b|\binitial (?=\w*pnea|arousal|desat)", "first "),
    (r"\blatest (?=\w*(?: \w*)?(?:pnea|arousal|desat|event))", "last "),
    (r"\b(?:before|up to|until) the (?:midpoint|middle)(?: of the (?:night|recording|study))?\b", "in the first half of the night"),
    (r"\b(?:after|past|from) the (?:midpoint|middle)(?: of the (?:night|recording|study))?(?: on(?:wards)?)?\b", "in the second half of the night"),
    (r"\b(?:split\w*|divid\w*|cut\w*)\b.*\b(?:three|3) (?:equal )?(?:parts|pieces|thirds)\b(?P<rest>.*)\bfirst (?:part|piece|one|third)\b", r"\g<rest> first third of the night"),
    (r"\b(?:split\w*|divid\w*|cut\w*)\b.*\b(?:three|3) (?:equal )?(?:parts|pieces|thirds)\b(?P<rest>.*)\b(?:last|third|final) (?:part|piece|one|third)\b", r"\g<rest> last third of the night"),
    (r"\b(?:split\w*|divid\w*|cut\w*)\b.*\b(?:two|2|half|halves)(?: (?:equal )?(?:parts|pieces|halves))?\b(?P<rest>.*)\b(?P<which>first|second) (?:part|piece|one|half)\b", r"\g<rest> \g<which> half of the night"),
    (r"\b(?:leave|leaving) (?:the |all )?[a-z]+ (?:out|aside)(?: of it)?[:,]? (?=.*\w*(?:pnea|arousal|desat))", " "),
    (r",? (?:but )?not (?:the |as )?(?:percent\w*|minutes|count|number|index|apneas|hypopneas|arousals|desaturations)\s*$", ""),
    (r"\bhow (?:soon|early|late|rapidly)\b", "how long until"),
    (r"\b1st\b", "first"),
    (r"\b2nd\b", "second"),
    (r"\bhalf a minute\b", "30 seconds"),
    (r"\b(?:a|one) (?=minute\b)", "1 "),
    (r"\blast(?:ed|ing)? (?:more|longer) than\b|\bexceed(?:ed|ing|s)?(?= \d)", "longer than"),
    (r"\b(?:pauses?|stops?|gaps?|cessations?) (?:in|of) (?:the )?breathing\b", "apnea"),
    (r"\bwhen did (?:the )?(?P<kind>\w*pnea|arousal|desat\w*)s? (?:start|begin)\b", r"when was the first \g<kind>"),
    (r"\b(?:which|what) (?:type|kind|sort)s? of apneas? (?:is|are|was|were)?(?: \w+)*$", "how many apneas"),
    (r"\bobstructive apnea (?:index|idx)\b|\boai\b", "how many obstructive apneas per hour"),
    (r"\bapnea ?/ ?hypopnea ?(?:index|idx)\b", "ahi"),
    (r"\b(?P<kind>arousal|hypopnea|desaturation|plm) (?:idx|ind)\b\.?", r"\g<kind> index"),
    (r"\bgist\b|\boverall impression\b|\b(?:brief|quick) (?:run-?down|recap)\b|\bin a nutshell\b", "summary"),
    (r"\blights? (?:off|out) to\b", "how long to"),
    (r"\bafter lights? (?:off|out)\b", " "),
)  # fmt: skip
ELSEWHERE = re.compile(
    r"\b(?:room|bed|ward|clinic) \d+|\b(?:my|our|your|an)(?:other)? (?:previous|other|last|next|own)? ?(?:patient|case|subject)s?\b"
    r"|\b(?:mr|mrs|dr)\b\.?|\bnext (?:year|month|week|night|time)|\btomorrow|\b(?:in|over) (?:the )?(?:\d+|a few|some|coming|two|five|ten) (?:years|months|weeks)"
    r"|\b(?:his|her|their) (?:wife|husband|brother|sister|mother|father|son|daughter|twin)|\blast (?:year|month|week)"
)
SPELLINGS = (
    (r"\bper hr\b|/ ?hr\b|\ban hr\b", "per hour"),
    (r"\b(?:with )?(?:a )?duration of (?:not less than|no less than|at least) (?=\d)", "lasting at least "),
    (r"\bnot? less than (?=\d)", "at least "),
    (r"\bmost (?:drawn[- ]out|prolonged)\b|\blengthiest\b", "longest"),
    (r"\b(?:smallest|minimum|minimal) (?=(?:oxygen|spo2|saturation|sat)\b)", "lowest "),
    (r"\b(?:came|fell|happened|occurred) in the (?=first|second|last)", "in the "),
    (r"\b(?:cumulative |total )?time (?:below|under) an? (?:spo2|saturation|sat) of 90 ?%?", "t90"),
    (r"\bof all (?:the )?(apn\w+|hypopn\w+|desat\w*|arousals), how many\b", r"how many \1"),
    (r"\b(apn\w+[^,.?]*), hypopn\w+ (?:not included|excluded|left out)\b", r"\1"),
    (r"\btst (?:over|divided by|/) tib\b", "sleep efficiency"),
    (r"\b(?:reasons?|causes?) (?:for|of) (?:all )?(?:these|those|the|his|her) arousals\b", "what caused the arousals"),
    (r"\bwhat does (?:the )?(?:abbreviation|acronym|term) (\w+) (?:stand for|mean)\b", r"define \1"),
    (r"\bvon mindestens einer minute\b", "of at least 60 seconds"),
    (r"\bresp(?:iratory)?\.? disturbance (?:idx|index)\b", "rdi"),
    (r"\bper cents?\b", "percent"),
    (r"\bstages? n?-?([123])\b", r"n\1"),
    (r"\bstages? (?:r|rem)\b", "rem"),
    (r"\beff ?%|\beff\b\.?", "efficiency"),
    (r"\btot\b\.?", "total"),
    (r"\bpl[sz]\b|\bpl[sz]\.?$", "please"),
    (r"(\d+) ?(s|secs?|seconds?|min|minutes?) ?(?:or|and|\+) ?(?:longer|more|over|above|up|greater)\b|(\d+) ?(s|secs?|seconds?)\+", r"at least \1\3 \2\4"),
    (r"(?:≥|>=) ?(\d+) ?(s|secs?|seconds?)\b", r"at least \1 \2"),
    (r"\b(?:n1|stage 1)\s*(?:,|\+|and|&|/)\s*(?:n2|stage 2)\s*(?:,|\+|and|&|/|, and)\s*(?:n3|stage 3)\s*(?:,|\+|and|&|/|, and)\s*(?:rem|r)\b", "total sleep time"),
    (r"\b(?:n1|stage 1)\s*(?:,|\+|and|&|/)\s*(?:n2|stage 2)\s*(?:,|\+|and|&|/|, and)\s*(?:n3|stage 3)\b(?: (?:taken )?together| combined)?", "nrem"),
    # German and Spanish for the commonest questions.
    (r"\bgesamtschlafzeit\b|\bschlafdauer\b|\bwie lange hat (?:er|sie|der patient|die patientin) geschlafen\b|\btiempo total de sue[nñ]o\b|\bcu[aá]nto (?:tiempo )?durmi[oó](?: el paciente| la paciente)?", "total sleep time"),
    (r"\b(?:ein)?schlaflatenz\b|\bwie lange .*\beinschlafen\b|\beinschlafzeit\b|\blatencia (?:del|de) sue[nñ]o\b|\bcu[aá]nto tard[oó] en dormirse\b", "sleep onset latency"),
    (r"\bwachzeit nach (?:dem )?einschlafen\b|\bwie lange war (?:er|sie|der patient|die patientin) (?:nachts )?wach\b|\bcu[aá]nto (?:tiempo )?estuvo despiert[oa]\b", "waso"),
    (r"\bwie oft .*\b(?:auf)?gewacht\b|\bwie oft .*\bwach\b|\bcu[aá]ntas veces (?:se )?despert[oó]\b", "how many awakenings"),
    (r"\btiefschlaf\b|\bsue[nñ]o profundo\b", "deep sleep"),
    (r"\brem-?latenz\b|\blatencia (?:del |de )?(?:sue[nñ]o )?rem\b", "rem latency"),
    (r"\b(?:niedrigste|tiefste|minimale) (?:sauerstoff)?s[aä]ttigung\b|\bsaturaci[oó]n m[ií]nima\b|\boxígeno m[ií]nimo\b", "lowest spo2"),
    (r"\b(?:mittlere|durchschnittliche)r? (?:herzfrequenz|puls)\b|\bfrecuencia card[ií]aca media\b", "mean heart rate"),
    (r"\bwie schwer ist die (?:schlaf)?apnoe\b|\bschweregrad\b|\bgravedad\b", "severity"),
    (r"\bents[aä]ttigungsindex\b|\b[ií]ndice de desaturaci[oó]n\b", "odi"),
    (r"\barousal-?index\b|\bweckreaktionsindex\b|\b[ií]ndice de (?:arousals|microdespertares)\b", "arousal index"),
    (r"\b[ií]ndice de apneas?[- ](?:e )?hipopneas?\b|\bapnoe-hypopnoe-index\b|\biah\b", "ahi"),
    (r"\bwarum ist (?:der|die|das)\b", "why is the"),
    (r"\bpor qu[eé] (?:est[aá]|es) (?:tan )?(?:fragmentado|roto) el sue[nñ]o\b", "why is the sleep so broken"),
    (r"\bwann war (?:die|der) erste\b|\bcu[aá]ndo fue la primera\b", "when was the first"),
    (r"\bwann war (?:die|der) letzte\b|\bcu[aá]ndo fue la [uú]ltima\b", "when was the last"),
    (r"\b[aä]hnliche epochen wie\b|\b[eé]pocas similares a(?: la)?\b", "epochs similar to"),
    (r"\bminuten\b|\bminutos(?: de)?\b", "minutes"),
    (r"\bprozent\b|\banteil\b|\bporcentaje(?: de)?\b", "percent"),
    (r"\bapn(?:oe|eo|o)a(s?)\b", r"apnea\1"),
    (r"\bhypopn(?:oe|eo|o)a(s?)\b", r"hypopnea\1"),
    (r"\bar+t[ei]facts?\b", "artifact"),
    (r"\bsp ?o ?2\b|\bo2 sats?\b|\bsao2\b", "spo2"),
    (r"\bhow ?many|\bnumber of\b|\bcount(?: of| the)?\b|\bwie viele\b|\bcu[aá]nt[ao]s\b", "how many"),
    (r"\bwie (?:war|ist) die nacht\b|\bzusammenfassung\b|\bresumen\b|\bc[oó]mo fue la noche\b",
     "summary"),
    (r"\bwas macht das\b|\bwie geht es dem\b|\bqu[eé] hace el\b", "describe the"),
    (r"\bl[aä]ngste[rns]?\b|\bm[aá]s larga\b", "longest"),
    (r"\bschlafeffizienz\b|\beficiencia del sue[nñ]o\b", "sleep efficiency"),
    (r"\bapnoen?\b", "apneas"),
    (r"\b([oc]sa|rera|plm)'?s\b", r"\1"),
    (r"\bwie viel\b|\bcu[aá]nto\b", "how much"),
    (r"\bwo (?:ist|war|sind|waren)\b|\bd[oó]nde est[aá]n?\b", "where is"),
    (r"\brem-?schlaf\b|\bsueño rem\b", "rem"),
    (r"\bobstruktive[rnms]?\b|\bobstructivas?\b", "obstructive"),
    (r"\bzentrale[rnms]?\b|\bcentrales\b", "central"),
    (r"\bhypopnoen?\b|\bhipopneas?\b", "hypopneas"),
    (r"\bwhat's\b", "what is"),
    (r"\b(?:non|n)[- ]?rem\b", "nrem"),
    (r"\b(?:im|in der|in dem|des) ersten drittel\b|\berste[nrs]? drittel\b|\bprimer tercio\b", "first third"),
    (r"\b(?:im|des) letzten drittel\b|\bletzte[nrs]? drittel\b|\b[uú]ltimo tercio\b", "last third"),
    (r"\b(?:in der )?ersten? (?:nacht)?h[aä]lfte\b|\bprimera mitad\b", "first half"),
    (r"\b(?:in der )?zweiten? (?:nacht)?h[aä]lfte\b|\bsegunda mitad\b", "second half"),
    (r"\bder nacht\b|\bde la noche\b", "of the night"),
    (r"\banzahl(?: der| von)?\b|\bn[uú]mero de\b|\bcantidad de\b", "how many"),
    (r"\btiefste[nrs]?\b|\bm[aá]s profunda\b", "deepest"),
    (r"\bk[uü]rzeste[nrs]?\b|\bm[aá]s corta\b", "shortest"),
    (r"\b(?:um wie viel uhr|wann|a qu[eé] hora|cu[aá]ndo)\b", "when"),
    (r"\bletzte[nrs]?\b|\b[uú]ltim[ao]\b", "last"),
    (r"\berste[nrs]?\b|\bprimer[ao]?\b", "first"),
    (r"\bwaren? (?:die|der|das)\b|\bfue (?:la|el)\b|\bwar (?:die|der|das)\b", "was the"),
    (r"\bdauer\b|\bduraci[oó]n\b", "duration"),
    (r"\bder schlafzeit\b|\bder gesamten schlafzeit\b|\bdel (?:tiempo de )?sue[nñ]o\b", "of sleep"),
    (r"\bpro stunde(?: schlaf)?\b|\bpor hora(?: de sue[nñ]o)?\b", "per hour"),
    (r"\b(?:im|in|en) (?:der )?(?:r[uü]ckenlage|dec[uú]bito supino|supino)\b|\bauf dem r[uü]cken\b|\bboca arriba\b", "supine"),
    (r"\b(?:im|in) (?=rem|n[123]|tiefschlaf|deep)", "in "),
    (r"\bdurante el sue[nñ]o rem\b|\ben (?:el )?(?:sue[nñ]o )?rem\b", "in rem"),
    (r"\bweckreaktionen?\b|\bmicrodespertares\b", "arousals"),
    (r"\bents[aä]ttigungen\b|\bdesaturaciones\b", "desaturations"),
    (r"\bents[aä]ttigung\b|\bdesaturaci[oó]n\b", "desaturation"),
    (r"\bwie lange (?:brauchte|hat) .*\beinschlafen\b", "sleep onset latency"),
    (r"\bwachliegezeit\b", "waso"),
    (r"\bschlafstadien\b|\bfases (?:del|de) sue[nñ]o\b", "sleep stages"),
    (r"\b(?:gibt|gab) es\b|\bhay\b|\bhubo\b", "were there"),
    (r"\bmittlere[nrs]?\b|\bdurchschnittliche[nrs]?\b|\bim mittel\b|\bim durchschnitt\b|\bpromedio\b|\bmedi[ao]\b", "mean"),
    (r"\bherzfrequenz\b|\bfrecuencia card[ií]aca\b", "heart rate"),
    (r"\bsauerstoffs[aä]ttigung\b|\bs[aä]ttigung\b|\bsaturaci[oó]n(?: de ox[ií]geno)?\b", "spo2"),
    (r"\bunter (?=\d)|\bpor debajo (?:de|del) (?=\d)|\bmenos de (?=\d)", "below "),
    (r"\b[uü]ber (?=\d)|\bl[aä]nger als (?=\d)|\bm[aá]s de (?=\d)", "longer than "),
    (r"\bsekunden\b|\bsegundos\b", "seconds"),
)  # fmt: skip
REFUSALS = re.compile(
    r"\b(?:los(?:e|ing) (?:\d+ ?(?:kg|kilo\w*|pounds?|lbs?)|weight)|weight loss|oxygen therapy|operiert|operation|what(?:'s| is) wrong with|c-?pap|bi-?pap|apap|oral appliance|mandibular|surgery|operat(?:e|ion)|medicat\w*|drugs?|pills?"
    r"|melatonin|zolpidem|treat\w*|therap\w*|cure|prescri\w*|dos(?:e|age)|diagnos\w*|prognos\w*"
    r"|should (?:i|he|she|they|we|you|the patient)|(?:is|was) (?:he|she|it|this|the patient) "
    r"(?:healthy|normal|ill|sick|dangerous|ok|okay|safe)|(?:will|is going to) (?:he|she|they|the patient)\b"
    r"|(?:he|she|they|patient|i|to) die|dying|dangerous|harmful|worr(?:y|ied|ying)|will (?:this|it)|stroke|heart attack|life expectancy|dementia|alzheimer\w*|parkinson\w*|narcoleps\w*"
    r"|insomniac?|depress\w*|risk of|(?:does|do|has|have) (?:he|she|they|the patient|i) (?:have |got )?"
    r"(?:a |an )?(?:sleep apnea|osa|csa|disease|disorder|insomnia|rbd|rls)|drive|driving|safe to"
    r"|behandl\w*|tratamiento|(?:is|was|are) (?:the|this|that|his|her|their) [a-z0-9 ]{1,30} "
    r"(?:normal|healthy|sick|ill|abnormal|pathological)|restless legs)\b"
)
SIMILAR = re.compile(
    r"\b(?:(?:most |more |much )?like epoch|similar\w*|resembl\w*|look(?:s|ed|ing)? like|(?:nights?|epochs?|cases?|patients?|one|ones|others?|any)"
    r" like|comparable|alike|nearest|neighbou?rs?)\b"
)
SUMMARY = re.compile(
    r"\bsummar\w*|\boverview\b|\breport\b|\bhow was (?:the|this|his|her|their) (?:night|sleep|recording)"
    r"|\bhow did (?:he|she|they|the patient|\w+) sleep|\bhow well\b|\bsleep quality\b|\bin short\b"
    r"|\btell me about (?:the|this) (?:night|recording|sleep|patient)|\bdescribe the (?:night|sleep)\b"
    r"|\banything (?:unusual|remarkable|notable|abnormal|strange|interesting)\b|\bwhat stands out\b"
    r"|\b(?:good|bad|rough|restful|quiet) night\b|\bthe (?:numbers|figures)\s*$|\bmain findings?\b|\bkey (?:numbers|figures|findings)\b"
)
WHY = re.compile(r"\b(?:why|what (?:is |was |keeps? |kept )?(?:waking|rousing|disturbing|disrupting|fragmenting|disrupted|disrupts)|what keeps|what (?:made|makes|broke|breaks|disturbed|disturbs|wakes|woke|caused|causes)|reason|explain|how come|warum|por qu[eé])\b")  # fmt: skip
COMPARE = re.compile(
    r"\bwhich (?:half|third)\b|\b(?:larger|smaller|greater|bigger|compar\w*|versus|vs\.?|better|worse|more|less|fewer|faster|slower|deeper|lighter|higher"
    r"|lower|differ\w*|than|positional|position[- ]dependent|rem[- ]related|rem[- ]dependent)\b"
)
RECORDING = re.compile(
    r"\bhow many epochs\b|\b(?:when|what time)\b.*\b(?:recording|night|it)\b.*\b(?:start|begin|began|end|stop)"
    r"|\bchannels?\b|\bsensors?\b|\bmissing\b|\bwho (?:has )?scored\b|\bscor(?:er|ed by)\b"
    r"|\b(?:start|end) (?:time )?of the recording\b"
)
TREND = re.compile(
    r"\b(?:trends?|chang\w*|ris(?:e|es|ing)|rose|fall(?:s|ing)?(?! asleep)|develop\w*|vary|varies|course|over (?:the night|time))\b"
)
LIMIT = re.compile(
    r"\b(?:shorter|less|deeper|more|greater|bigger|fewer|lower|higher|under|below|over|above|at most|at least)\b"
    r"(?: than)? \d+(?:\.\d+)? ?(?:%|percent|seconds?|secs?|s|minutes?|min)"
)
SEVERAL = re.compile(
    r"\b(?:top |the |first |last )*(?P<count>\d{1,2}|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?:longest|shortest|deepest|worst|lowest|most severe|first|last)\b|\btop (?P<top>\d{1,2}|three|five|ten)\b"
)
COUNT_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
               "nine": 9, "ten": 10}  # fmt: skip
GREETING = re.compile(r"^(?:hello|hi|hey|good (?:morning|evening|afternoon|day)|hallo|guten (?:tag|morgen|abend)|hola|moin|servus)\b[\s!.,]*(?:there|all|sleeplm)?[\s!.,]*$")  # fmt: skip
THANKS = re.compile(
    r"^(?:ok(?:ay)?|great|nice|good|perfect|cool)?[\s,!.]*(?:thanks?(?: you)?|thx|danke|gracias|cheers|ok(?:ay)?|great|perfect)\b[^?]*$"
)
HELP = re.compile(
    r"^help\b|what can (?:i|you|we)\b|what (?:do|could) (?:i|you|we) (?:ask|do|know)|how does this work|who are you|what are you"
)
ONE_OF_THEM = re.compile(
    r"\b(?:the )?(?P<word>first|second|third|fourth|fifth|last|next|other|\d{1,2}(?:st|nd|rd|th)) one\b"
    r"|\bnumber (?P<number>\d{1,2})\b"
)
THAT = re.compile(
    r"\b(?:that|this|the same|those|these) (?:epochs?|one|event|place|moment|time|apnea|hypopnea|arousal|desaturation)"
    r"|\b(?:show|open|go to|see|describe) (?:me )?(?:it|that|this|there)\b|\bat that (?:time|moment|point)\b"
    r"|\b(?:then|there)\b(?=.*\b(?:happen\w*|going on)\b)"
)
FOLLOW = re.compile(r"^(?:and|what about|how about|also|then|but|or|und|y)\b[\s,]*|\b(?:then|too|as well)\s*\??$")  # fmt: skip
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "next": -2, "other": -2,
             "last": -1}  # fmt: skip
STARTERS = (
    r"(?:how|what|where|when|which|who|why|did|was|were|is|are|does|do|show|list|describe|find|give|"
    r"tell|summari[sz]e|compare|locate|count|any)\b"
)
STAGE_TOO = re.compile(r"\b(?:in )?(?:which|what) (?:sleep )?stages?\b|\b(?:by|per) (?:sleep )?stages?\b")  # fmt: skip
POSITION_TOO = re.compile(r"\b(?:in )?(?:which|what) (?:body )?positions?\b|\b(?:by|per) (?:body )?positions?\b")  # fmt: skip
PLACE_TOO = re.compile(r"\b(?:and |,\s*)?(?:when|where|at what time|what time)\b(?: (?:was|were|did|is|are) (?:that|it|they|this))?")  # fmt: skip
OPEN_SEARCH = re.compile(
    r"\b(?:find|locate|search(?: for)?|look for|show(?: me)?|any|where (?:is|are|was|were)(?: there)?"
    r"|(?:are|is|were|was) there(?: any)?|how many|list)\s+(?:all |the |some |any |me )*(?P<what>.+)"
)
SIGNAL_WORDS = re.compile(
    r"\b(?:spindles?|k[- ]?complex\w*|slow waves?|delta|alpha|theta|sigma|beta|bursts?|eye movements?|rems|"
    r"movements?|flow limit\w*|paradox\w*|irregular\w*|shallow|spikes?|twitch\w*|pauses?|waves?|rhythm|"
    r"activity|tone|breathing|flat\w*|noisy|noise|sighs?|crescendo|drops?|rises?|jumps?|saw-?tooth\w*)\b"
)
TERM = re.compile(
    r"^(?:(?P<before>[^,:]+?)\s*[-:,]+\s*what (?:is|does|was) (?:that|it|this)(?: mean| stand for)?|(?:please |can you |could you )?(?:define|explain(?: the term)?|what is meant by|(?:what is )?(?:the )?(?:meaning|definition) of)"
    r" (?:an? |the )?(?P<defined>.+?)"
    r"|what (?:does|do) (?:an? |the )?(?P<meant>.+?) (?:mean|stand for|measure)"
    r"|(?:what(?: exactly)? (?:is an?|are)|was ist (?:eine?|das|die|der)|was bedeutet|qu[eé] es(?: una?| el| la)?|qu[eé] significa) (?P<named>.+?)"
    r")(?: exactly| again| please| in sleep medicine| in general| in this context)?\W*$"
)
OTHER_NIGHT = re.compile(
    r"\b(?:other|second|two|both|previous|last|earlier) nights?\b(?!.*\b(?:epoch|similar|like)\b)|\bnight (?:to|with|against|and) (?:the )?(?:other|another)\b|\bcompare (?:the |these )?(?:two )?nights\b|\bnight to night\b"
)
DISPUTE = re.compile(
    r"\b(?:scor(?:ers?|ings?)|witness(?:es)?|expert|automatic|model)\b.*\b(?:disagree\w*|differ\w*|dispute\w*|contradict\w*)\b"
    r"|\bdisagree\w*\b|\bonly (?:the )?(?:expert|one scor\w+|automatic|model)\b.*\b(?:see|saw|scored|found)\b|\breview first\b"
)
MARGIN = re.compile(
    r"\b(?:how (?:close|far|near)|how many (?:\w+ )?(?:fewer|more|less)|how much (?:more|less|fewer)|which events|what would|border\w*|move|change|shift|next)\b.*"
    r"\b(?:severity|class|category|band|mild|moderate|severe|threshold|border\w*)\b|\bborderline\b|\b(?:distance|margin) (?:to|from) (?:the )?(?:next|mild|moderate|severe)"
)
WOKE = re.compile(
    r"\b(?:legs?|limbs?|plms?|breath\w*|apneas?)\b.*\b(?:or|and)\b.*\b(?:legs?|limbs?|plms?|breath\w*|apneas?)\b.*\b(?:w[ao]ke\w*|arous\w*)"
    r"|\b(?:w[ao]ke\w*|arous\w*)\b.*\b(?:because of|due to|by|from|with)\b.*\b(?:legs?|limbs?|plms?)\b.*\bor\b"
    r"|\bwhat (?:is |was |keeps? |kept )?(?:waking|rousing|arousing) |\b(?:cause|reason|trigger)s? (?:of|for|behind) (?:his|her|their|the|all the|these|those) (?:arousals|awakenings)"
    r"|\bwhat (?:woke|wakes|caused the arousals|causes the arousals|triggered the arousals)\b"
)
LIGHTS = re.compile(
    r"\blights?[- ](?P<which>off|out|on)\b(?:[^?\d+]{0,30}?)(?P<time>\+?\d{1,2}(?:[:.]\d{2})?(?::\d{2})?\s*(?:[ap]\.?m\.?)?)"
)
LEAVE_OUT = re.compile(
    r"\b(?:without|excluding|leaving out|leave out|except(?: for)?|ignoring|ignore|excluded?|dropping|drop|not counting|minus)\b(?P<rest>.+)$"
)
COMPANY = re.compile(
    r"\b(?P<how>without|with no|(?:had|have|has) no|(?:had|have|has)(?= an? )|not followed by|unrelated to|not (?:caused by|associated with|linked to|related to|due to|during|near|preceded by|accompanied by|from)|independent of|that (?:do|did) not follow|outside(?: of)?|free of|lacking"
    r"|with|followed by|associated with|caused by|due to|linked to|related to|that go with|that (?:went|goes) with|during|right after|led to|leads? to|leading to|resulted in|resulting in|results? in|causing|caused|accompanied by|coinciding with|preceded by|following|ending in|ended in|ended with|ending with|terminated by|triggered by|because of|after)\s+(?:an?y?\s+|the\s+|scored\s+|other\s+)*(?P<what>[a-z -]+)"
)
REM_PERIOD = re.compile(
    r"\b(?P<rank>first|second|third|fourth|fifth|sixth|1st|2nd|3rd|4th|5th|6th|last)\s+(?:rem|r)[- ](?:sleep )?(?:period|episode|phase|cycle|block|bout)s?\b|\brem (?:period|episode) (?:number |no\.? ?)?(?P<number>\d)\b"
)
AFTER_ONSET = re.compile(
    r"\b(?:in |during |within )?(?:the )?(?:(?P<span>first) )?(?P<count>\d+(?:\.\d+)?|an?|one|two|three|four|five|six|half an)\s*(?P<unit>hours?|h|minutes?|min)(?: of sleep)?\s+(?:after|into|past|from)\s+(?:the )?(?:sleep onset|falling asleep|(?:he|she|they) (?:fell|falls) asleep|sleep)\b"
)
NOT_STAGE = re.compile(
    r"\b(?:not in|outside(?: of)?|except in|other than in|excluding) (?P<stage>rem|nrem|wake)(?: sleep)?\b"
)
NADIR_REAL = re.compile(
    r"\b(?:real|genuine|true|artifact\w*|trust\w*|plausible|reliable|believ\w*)\b.*\b(?:nadir|lowest (?:oxygen|spo2|saturation))"
    r"|\b(?:nadir|lowest (?:oxygen|spo2|saturation))\b.*\b(?:real|genuine|true|artifact\w*|trust\w*|plausible|reliable|believ\w*)\b"
)
WHY_CALLED = re.compile(
    r"\bwhy\b.*\b(?:called|scored|classified|labell?ed|considered|marked|said to be|judged)\b"
)
BEFORE_EVENT = re.compile(
    r"\b(?:right |just |shortly )?before (?:each|every|all|the|an?|any)\s+(?:of the )?(?P<what>[a-z -]+)"
)

#: Statistics of the durations of events.
STATISTIC = (
    ("mean", r"\b(?:mean|average|averaged|avg|on average|typical(?:ly)?|usual(?:ly)?)\b"),
    ("median", r"\bmedian\b"),
    (
        "total",
        r"\btotal (?:time|duration|length|minutes|seconds)\b|\b(?:time|minutes|seconds) (?:spent )?in (?=(?:\w+ )?\w*pnea)|\b(?:cumulative|summed|together last)\b",
    ),
)
DURATION = re.compile(r"\b(?:duration|length|long|last(?:s|ed|ing)?|seconds|secs|time|minutes)\b")
LASTING = re.compile(r"\bhow long (?:do|did|does|are|were|was|is)\b")
DEPTH = re.compile(r"\b(?:depth|nadir|drop|fall|deep|magnitude|how far)\b")
REM_PERIODS = re.compile(
    r"\bhow (?:many|often)\b.*\b(?:rem|r)[- ](?:sleep )?(?:period|episode|phase|cycle|block|bout)s?\b"
    r"|\bhow many (?:times did (?:he|she|they|the patient) (?:go into|enter|reach|have) rem|sleep cycles)\b|^(?:rem periods|sleep cycles)\W*$"
)
#: Fields that a description is asked for by name; it then begins with them.
FIELD_WORDS = (
    ("ecg_rmssd_ms", r"rmssd|hrv|heart rate variability|variability"),
    ("spo2_min_pct", r"(?:lowest|minimum|nadir) (?:spo2|oxygen|saturation)"),
    ("spo2_mean_pct", r"spo2|saturation|oxygen\w*|sats?"),
    ("thx_rate_bpm", r"(?:breathing|respiratory|respiration) (?:rate|frequency)|breaths"),
    ("thx_abd_phase_deg", r"paradox\w*|phase|asynchron\w*"),
    ("af_flatness", r"flat\w*|flow limit\w*"),
    ("eeg_c3_delta_pct", r"delta"),
    ("eeg_c3_theta_pct", r"theta"),
    ("eeg_c3_alpha_pct", r"alpha"),
    ("eeg_c3_sigma_pct", r"sigma"),
    ("eeg_c3_beta_pct", r"beta"),
    ("eog_rem_count", r"(?:rapid )?eye movements?"),
    ("emg_burst_ratio", r"(?:muscle|emg|chin) (?:tone|activity|bursts?)"),
    ("ecg_rate_bpm", r"heart ?rate|pulse|hr|beats?"),
)
BELOW = re.compile(
    r"(?:below|under|less than|lower than|beneath|<) ?(?P<limit>[5-9]\d)(?: ?%| ?percent)?(?![\d:]| ?(?:s|sec|seconds|bpm|min|beats))"
)
ABOVE_RATE = re.compile(
    r"\b(?:above|over|exceed\w*|more than|higher than|faster than|>) ?(?P<limit>\d{2,3})\b"
)
BELOW_RATE = re.compile(
    r"\b(?:below|under|less than|lower than|slower than|<) ?(?P<limit>\d{2,3})\b"
)
MORE_OF = re.compile(
    r"\b(?:more|fewer|less)(?: often| frequent)? (?P<one>[a-z -]+?)(?: events?)? (?:than|or|vs\.?|versus|compared (?:to|with)) (?P<other>[a-z -]+)"
    r"|^(?:how many |number of |the )?(?P<first>[a-z -]+?) (?:vs\.?|versus|compared (?:to|with|against)) (?P<second>[a-z -]+)"
    r"|\bcompare (?:the )?(?:number of )?(?P<left>[a-z -]+?) (?:and|with|to|vs\.?|versus|against) (?P<right>[a-z -]+)"
)
SHIFT = re.compile(
    r"\blights?[- ](?P<which>off|out|on)\b[^?]*?\b(?P<count>\d+(?:\.\d+)?|an?|one|two|three|half an|a quarter of an) ?(?P<unit>hours?|h|minutes?|mins?)(?: (?P<more>and a half))? (?P<way>later|earlier|sooner|after|before)\b"
)
LIMIT_OF_FALL = re.compile(r"\d{1,2}(?:\.\d+)? ?(?:%|percent)")
FALL_OF = re.compile(
    r"^.*?\b(?:desaturations?|desats?|(?:spo2|oxygen|saturation) (?:drops?|dips?|falls?)|(?:drops?|falls?) (?:in|of) (?:the )?(?:spo2|oxygen|saturation))\b(?: of)?"
)
#: A clause that says who asks or why, at the beginning or at the end of a question.
CONTEXT = re.compile(
    r"^(?:i(?:'m| am|'d|'ve| have| need| want| was| would)?|we(?:'re|'ve| are| have| need| want)?|my|our|for (?:a|an|my|our|the|this)|sorry|hi|hello|hey|dear|thanks|because|since|as|so that|in order|just|ok(?:ay)?|the (?:\w+ ){1,3}(?:failed|asked|wants|needs|is (?:broken|missing|waiting)))\b"
)
