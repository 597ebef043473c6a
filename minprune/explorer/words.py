"""Everything that the page itself says, in its two languages: English, Chinese."""

from __future__ import annotations

from html import escape

WORDS: dict[str, tuple[str, str]] = {
    "language": ("Language", "语言"),
    "skip": ("Skip to the steps", "跳到步骤"),
    "lead": (
        (
            "One network, followed number by number: forward, backward, scores, decision, removal, check. Go through "
            "it with the arrow keys or the slider; switch neurons off, and the page computes everything again."
        ),
        "跟随一个网络，逐个数字地走完：前向、反向、评分、决策、移除、检验。用方向键或滑块逐步浏览；关掉神经元，页面会重新计算一切。",
    ),
    "script": (
        "Without JavaScript this page is a plain scroll: all steps, one below the other.",
        "没有 JavaScript 时，本页就是一份可滚动的文档：所有步骤依次排列。",
    ),
    "network": ("The network", "网络"),
    "steps": ("Step by step", "逐步"),
    "step": ("Step", "第"),
    "previous": ("Previous step", "上一步"),
    "next": ("Next step", "下一步"),
    "slider": ("Which step", "步骤"),
    "forward": ("Forward", "前向"),
    "backward": ("Backward", "反向"),
    "scores": ("Scores", "评分"),
    "decision": ("Decision", "决策"),
    "removal": ("Removal", "移除"),
    "check": ("Check", "检验"),
    "where": ("where", "其中"),
    "letters": ("in letters", "用字母"),
    "numbers": ("in numbers", "代入数字"),
    "result": ("result", "结果"),
    "largest": ("the 12 largest of {} terms are written out", "共 {} 项，写出最大的 12 项"),
    "source": ("what runs", "运行的代码"),
    "goes": ("goes", "移除"),
    "stays": ("stays", "保留"),
    "neuron": ("neuron", "神经元"),
    "score": ("score", "得分"),
    "masked": ("masked", "屏蔽"),
    "removed": ("removed", "移除后"),
    "sample": ("sample", "样本"),
    "bound": ("rounding can do at most {}", "舍入误差最多为 {}"),
    "why": ("why", "原因"),
    "terms": ("What it is made of", "由哪些项组成"),
    "terms-hint": (
        "Each square is one term, coloured by its sign and size. Choose one to see its product.",
        "每个方格是一项，颜色表示符号和大小。选一格看它的乘积。",
    ),
    "more": ("{} more", "另有 {} 项"),
    "what-if": ("What if a neuron leaves?", "如果一个神经元离开？"),
    "what-if-lead": (
        (
            "Choose neurons here or in the drawing: they are held at zero, and the page replays the whole network. "
            "Beside each stands what a rule says it is worth, and what its removal really costs."
        ),
        "在这里或图中选择神经元：它们被固定为零，页面重新运行整个网络。每个神经元旁边是规则给出的价值，以及移除它的真实代价。",
    ),
    "rule": ("Rule", "规则"),
    "rules": (
        "Rule, and how the loss changes when the neurons that it puts lowest leave",
        "规则，以及移除它评分最低的神经元后损失的变化",
    ),
    "rule-printed": ("as the document prints it", "文档原文"),
    "rule-modulus": ("printed, with the modulus it needs", "原文加绝对值"),
    "rule-taylor": ("corrected: size of the change", "修正：变化的大小"),
    "rule-signed": ("corrected, with its sign", "修正，带符号"),
    "rule-truth": ("the truth for one neuron", "单个神经元的真值"),
    "fixed": ("from the trace, all neurons present", "来自记录，全部神经元在场"),
    "lowest": ("Remove the lowest", "移除得分最低的"),
    "apply": ("Mask them", "屏蔽它们"),
    "restore": ("Bring all back", "全部恢复"),
    "loss": ("loss", "损失"),
    "loss-all": ("with all neurons", "全部神经元"),
    "loss-now": ("now", "现在"),
    "change": ("change", "变化"),
    "worse": ("worse", "变差"),
    "better": ("better", "变好"),
    "same": ("nothing is masked", "没有屏蔽任何神经元"),
    "output": ("output a", "输出 a"),
    "truth": ("true cost of leaving", "离开的真实代价"),
    "legend-value": ("value", "数值"),
    "legend-slope": ("slope ∂ℓ", "斜率 ∂ℓ"),
    "live": ("{} masked: loss {} → {} ({})", "已屏蔽 {} 个：损失 {} → {}（{}）"),
    "checked": (
        "This page computed {} numbers of the trace again; the largest difference is {}.",
        "本页重新计算了记录中的 {} 个数；最大差别为 {}。",
    ),
    "failed": (
        "This page's own arithmetic differs from the trace by {}; do not trust what it computes.",
        "本页的计算与记录相差 {}；请不要相信它算出的数。",
    ),
    "no-program": (
        "This network is too large to be computed again in a page; the steps are complete.",
        "这个网络太大，无法在页面中重新计算；步骤是完整的。",
    ),
    "unknown-op": ("The page has no function for the op {}.", "页面没有算子 {} 的函数。"),
    "keys": (
        "Keys: ← → one step, Page Up / Page Down ten, Home / End to the ends.",
        "按键：← → 一步，Page Up / Page Down 十步，Home / End 到两端。",
    ),
    "focus": ("followed here: {}", "此处跟随：{}"),
    "samples": ("{} samples; drawn is sample {}", "{} 个样本；图中为样本 {}"),
    "made": (
        "Made by minprune from a trace; nothing is loaded from elsewhere.",
        "由 minprune 根据记录生成；不从别处加载任何内容。",
    ),
}


def both(name: str, *values: object) -> str:
    """A text of the page in both languages; the style sheet shows one.

    Examples
    --------
    >>> both("result")
    '<span class="en" lang="en">result</span><span class="zh" lang="zh-Hans">结果</span>'
    """
    english, chinese = (text.format(*values) for text in WORDS[name])
    return spoken(english, chinese)


def spoken(english: str, chinese: str | None) -> str:
    """A text in both languages; where there is no Chinese one it is the English one in both."""
    if chinese is None:
        return f'<span lang="en">{escape(english)}</span>'
    return (
        f'<span class="en" lang="en">{escape(english)}</span><span class="zh" lang="zh-Hans">{escape(chinese)}</span>'
    )
