"""Languages of common names as ISO 639 codes: two letters where there are two, else three."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_LANGUAGES: Final = """
af afr afrikaans|am amh amharic|ar ara arabic|as asm assamese|az aze azerbaijani|be bel belarusian|bg bul bulgarian
bn ben bengali bangla|br bre breton|bs bos bosnian|ca cat catalan|co cos corsican|cs ces cze czech|cy cym wel welsh
da dan danish|de deu ger german deutsch|el ell gre greek|en eng english|eo epo esperanto|es spa spanish castilian
et est estonian|eu eus baq basque|fa fas per persian farsi|fi fin finnish|fj fij fijian|fo fao faroese
fr fra fre french|fy fry frisian|ga gle irish|gd gla gaelic|gl glg galician|gn grn guarani|gu guj gujarati
ha hau hausa|he heb hebrew|hi hin hindi|hr hrv croatian|ht hat haitian|hu hun hungarian|hy hye arm armenian
id ind indonesian|is isl ice icelandic|it ita italian|iu iku inuktitut|ja jpn japanese|jv jav javanese
ka kat geo georgian|kk kaz kazakh|kl kal greenlandic kalaallisut|km khm khmer|kn kan kannada|ko kor korean
ku kur kurdish|ky kir kyrgyz kirghiz|la lat latin|lb ltz luxembourgish|lo lao|lt lit lithuanian|lv lav latvian
mg mlg malagasy|mi mri mao maori|mk mkd mac macedonian|ml mal malayalam|mn mon mongolian|mr mar marathi
ms msa may malay|mt mlt maltese|my mya bur burmese|nb nob bokmål|ne nep nepali|nl nld dut dutch flemish
nn nno nynorsk|no nor norwegian|nv nav navajo|oc oci occitan|or ori ory odia oriya|os oss ossetian|pa pan punjabi
pl pol polish|ps pus pashto|pt por portuguese|qu que quechua|rm roh romansh|ro ron rum romanian|ru rus russian
rw kin kinyarwanda|sa san sanskrit|sc srd sardinian|se sme sami|si sin sinhala sinhalese|sk slk slo slovak
sl slv slovenian slovene|sm smo samoan|sn sna shona|so som somali|sq sqi alb albanian|sr srp serbian
st sot sesotho|su sun sundanese|sv swe swedish|sw swa swahili|ta tam tamil|te tel telugu|tg tgk tajik|th tha thai
ti tir tigrinya|tk tuk turkmen|tl tgl tagalog|tn tsn tswana|to ton tongan|tr tur turkish|tt tat tatar
ty tah tahitian
ug uig uyghur|uk ukr ukrainian|ur urd urdu|uz uzb uzbek|ve ven venda|vi vie vietnamese|wo wol wolof|xh xho xhosa
yi yid yiddish|yo yor yoruba|zh zho chi chinese mandarin|zu zul zulu
haw hawaiian|fil filipino|ceb cebuano|chr cherokee|nah nahuatl|pap papiamento|hmn hmong|ain ainu|cmn
"""

_CODE: Final = {
    word: "zh" if word == "cmn" else words[0]
    for words in (entry.split() for entry in _LANGUAGES.replace("\n", "|").split("|"))
    for word in words
}


@lru_cache(maxsize=4096)
def language_code(text: str) -> str:
    """The code of a language that a source gives as a code, a locale or its English name; '' where it says none.

    A code of two or three letters that is not known stays as it is, in lower case.

    >>> language_code("English"), language_code("fre"), language_code("pt-BR"), language_code("unspecified")
    ('en', 'fr', 'pt', '')
    """
    word = text.strip().lower()
    first = word.replace("_", "-").partition("-")[0]
    found = _CODE.get(word) or _CODE.get(first)
    if found is not None:
        return found
    return (
        first
        if first.isascii() and first.isalpha() and len(first) in (2, 3) and first not in ("und", "mul")
        else ""
    )
