"""Texts of many kinds and tongues, for what counts tokens; and the vocabularies, loaded once."""

# ruff: noqa: RUF001 (other alphabets are the point)

from functools import cache

import tiktoken

from metering.tokenizers import vocabulary

TEXTS: dict[str, str] = {
    "nothing": "",
    "one space": " ",
    "english": "The quick brown fox jumps over the lazy dog. It's 3.14159, isn't it? I'd've said so; you'll see.",
    "prose": (
        "When a request arrives, the proxy reads its key, looks up what the wallet holds, and sets aside the most that "
        "the answer could cost. The stream then passes untouched. Once it has ended, what was used is charged, and the "
        "rest is given back. Nobody waits for the books, and nobody is billed for what was never delivered.\n"
    ),
    "capitals": "HELLO WORLD THIS IS LOUD. NASA, UNESCO and the WHO; CamelCase, snake_case, SCREAMING_SNAKE.",
    "python": "def f(x: int) -> str:\n\tif x > 0:\n\t\treturn f'{x!r}'\n\n\nclass A(B, metaclass=C):\n    pass\n",
    "c": '#include <stdio.h>\nint main(void) {\n    for (int i = 0; i < 10; ++i) printf("%d\\n", i * 0x1F);\n}\n',
    "javascript": "const f = async (a, {b, ...c}) => { await fetch(`/x/${a}?y=${b ?? 'z'}`); return [...c]; };",
    "sql": "SELECT u.id, COUNT(*) FROM users u LEFT JOIN orders o ON o.user_id = u.id GROUP BY 1 HAVING COUNT(*) > 3;",
    "json": '{"a": [1, 2.5e-10, null, true], "b": {"c": "\\u00e9\\n"}, "d": "x"}',
    "html": "<html><body class='x'>&nbsp;<!-- c --></body></html>",
    "markdown": "# Title\n\n* one\n* two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\nls -la\n```\n",
    "latex": r"\begin{equation} \int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2} \end{equation}",
    "url": "https://example.com/a/b?c=d&e=%20#f and mail@example.org",
    "numbers": "1234567890" * 20,
    "times": "2024-02-29T23:59:60.999Z 1,234,567.89 -0.0 1e309 0xdeadbeef 192.168.0.1",
    "hexadecimal": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "base64": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "japanese": "日本語のテキストと、漢字かな交じり文。カタカナも、ﾊﾝｶｸも。",
    "chinese": "中文文本没有空格。标点符号，以及繁體字與简体字。生僻字：龘靐齉爩。",
    "korean": "한국어 텍스트입니다. 띄어쓰기가 있습니다.",
    "hebrew": "שלום עולם, זה טקסט בעברית. וְנִקּוּד",
    "arabic": "مرحبا بالعالم، هذا نص عربي. السَّلامُ عَلَيْكُم ١٢٣",
    "persian": "سلام دنیا، می‌خواهم بنویسم.",
    "hindi": "नमस्ते दुनिया, यह हिन्दी पाठ है। क्षत्रिय",
    "tamil": "வணக்கம் உலகம்",
    "thai": "สวัสดีชาวโลก ไม่มีช่องว่างระหว่างคำ",
    "burmese": "မင်္ဂလာပါ ကမ္ဘာလောက",
    "amharic": "ሰላም ልዑል ዓለም",
    "georgian": "გამარჯობა მსოფლიო",
    "russian": "Привет, мир! Ёлки-палки, съешь же ещё этих мягких французских булок.",
    "greek": "Καλημέρα κόσμε, πώς είσαι;",
    "french": "L'été, où l'œuvre naïve fut reçue à Noël, ça m'étonne.",
    "german": "Donaudampfschifffahrtsgesellschaftskapitän, Straße, Übergröße",
    "polish": "Zażółć gęślą jaźń",
    "vietnamese": "Tiếng Việt có dấu: Nguyễn Thị Hồng Nhung",
    "turkish": "İstanbul'da IŞIK ılık çağrı",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏽 with joiners 🇩🇪🇯🇵 😀😀😀",
    "zero width": "\u200b\u200d\ufeff\u2060 zero width \u202eright to left\u202c",
    "control": "a\x00b\x01c\x7f\x1b[31mred\x1b[0m\x85\u2028",
    "combining": "e\u0301 combining, é composed, Z\u0351\u036b\u0343a\u0363\u0308l\u034bg\u0348o",
    "private and unassigned": "\ue000\uf8ff\U000f0000\U0010fffd\u0378",
    "surrogate pairs": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 🜁",
    "fullwidth": "ＦＵＬＬ ｗｉｄｔｈ　ｓｐａｃｅ",
    "special": "<|endoftext|> <|im_start|>user<|im_end|><|fim_prefix|><|endofprompt|> <s></s>[INST]",
    "contractions": "I'M YOU'RE we'VE it'S 'tis o'clock 'Ll don’t",
    "white": "   \n\n \t \r\n   x\u00a0\u3000y \v\f z   ",
    "spaces at the end": "text   ",
    "long run of a letter": "x" * 3000,
    "long run of spaces": " " * 3000,
    "long run of lines": "\n" * 300,
    "lines of windows": "a\r\nb\r\n\r\nc" * 30,
    "two cases": "aAaAaA" * 300,
    "punctuation": "!?!?...---===***///\\\\\\|||~~~``` ,,,;;;:::((()))[[[]]]{{{}}}",
}


@cache
def encoding(name: vocabulary.EncodingName) -> tiktoken.Encoding:
    return vocabulary.load(name)


def most_counted(text: str) -> int:
    """By whichever of the two vocabularies has more for it."""
    return max(len(encoding(name).encode_ordinary(text)) for name in ("o200k_base", "cl100k_base"))
