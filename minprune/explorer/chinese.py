"""What the engine says of a step, in Chinese: its sentences by themselves, those with names in them by pattern.

The engine speaks English, in docstrings; here stands beside each of its sentences the Chinese one. A sentence that is
not here, as of an op of one's own, stays English on the page, and is marked as such.
"""

from __future__ import annotations

import re

SENTENCES = {
    # ops
    "Every neuron's weighted sum of the inputs, plus its bias.": "每个神经元对输入加权求和，再加上偏置。",
    "Every filter's weighted sum of what it sees at each place, plus its bias.": (
        "每个滤波器在每个位置上对所见数值加权求和，再加上偏置。"
    ),
    "The largest entry of each window.": "每个窗口中的最大值。",
    "The mean of each window.": "每个窗口的平均值。",
    "The mean of each channel over all places.": "每个通道在所有位置上的平均值。",
    "Normalise every channel by the statistics of this batch, then scale and shift it.": (
        "用本批数据的统计量对每个通道做归一化，再缩放和平移。"
    ),
    "Normalise every channel by stored statistics, then scale and shift it: an affine map per channel.": (
        "用存储的统计量对每个通道做归一化，再缩放和平移：每个通道是一个仿射映射。"
    ),
    "Let positive values through.": "只让正值通过。",
    "Let positive values through and shrink the others.": "让正值通过，其余的值缩小。",
    "Squash to the interval (0, 1).": "压缩到区间 (0, 1)。",
    "Squash to the interval (−1, 1).": "压缩到区间 (−1, 1)。",
    "Turn scores into positive shares that sum to one, along axis 1.": "沿第 1 轴把得分变成和为一的正份额。",
    "The logarithm of the shares that a softmax gives, along axis 1.": "沿第 1 轴取 softmax 所得份额的对数。",
    "Let positive values through and shrink the others, each channel by a factor that it learns.": (
        "让正值通过，其余的值缩小，各通道的系数由学习得到。"
    ),
    "Cut off what lies outside of an interval. With 0 and 6 it is ReLU6.": (
        "截去区间以外的部分；区间为 0 到 6 时就是 ReLU6。"
    ),
    "A sigmoid made of straight lines.": "由直线段构成的 sigmoid。",
    "Let positive values through and bend the others towards −α; scaled by γ, with the right two numbers, SELU.": (
        "让正值通过，其余的值弯向 −α；再乘以 γ，两数取值恰当时就是 SELU。"
    ),
    "Let a value through as far as the normal distribution lies below it.": "按正态分布在该值以下的比例让它通过。",
    "The error function: other libraries make the GELU of it.": "误差函数；别的库用它构成 GELU。",
    "A ReLU without its corner.": "没有折角的 ReLU。",
    "Arrange the entries of every sample anew; the batch axis stays.": "重新排列每个样本的数值；批次轴不变。",
    "Exchange the axes of every sample, then arrange its entries anew; the batch axis stays.": (
        "交换每个样本的各轴，再重新排列其数值；批次轴不变。"
    ),
    "Surround every channel's image with a number, on each side as far as it says.": (
        "在每个通道的图像四周填上一个数，各边的宽度由设置决定。"
    ),
    "Select features or channels by their index along axis 1.": "沿第 1 轴按下标选取特征或通道。",
    "Add two values, entry by entry; a shorter one is repeated along the axes that it lacks.": (
        "两个值逐项相加；较短者沿其缺少的轴重复。"
    ),
    "Multiply two values, entry by entry; a shorter one is repeated along the axes that it lacks.": (
        "两个值逐项相乘；较短者沿其缺少的轴重复。"
    ),
    "Multiply two matrices of every sample.": "对每个样本，两个矩阵相乘。",
    "Raise to a constant power.": "取固定次幂。",
    "Scale every channel by its gate: 1 leaves the neuron alone, 0 takes it away.": (
        "每个通道乘以它的门：1 保留该神经元，0 去掉它。"
    ),
    "Put the channels of b behind those of a, along axis 1.": "沿第 1 轴把 b 的通道接在 a 的通道之后。",
    "Silence entries at random in training; the mask holds 0 or 1/(1−p), so that the mean stays.": (
        "训练时随机使数值为零；掩码取 0 或 1/(1−p)，因此均值不变。"
    ),
    "Half the squared distance to the target.": "与目标之差的平方和的一半。",
    "The mean squared distance to the target.": "与目标之差的平方的平均值。",
    "The negative log-probability of the target class, from logits.": "由 logits 得到的目标类别的负对数概率。",
    "How far the softened answer is from a teacher's, both given as logits.": (
        "软化后的输出与教师输出的距离，两者都以 logits 给出。"
    ),
    "The mean over the batch: one loss from one per sample.": "对一批样本取平均：由各样本的损失得到一个损失。",
    # scores
    "The document's rule with the modulus it needs.": "文档的规则，加上它所需的绝对值。",
    "What the document's listing does, for a neuron.": "文档中程序的做法，用于单个神经元。",
    "Exactly as printed: 1 / (1/N)∑ₙ sₙⱼ; it can be negative.": "与原文完全一致：1 / (1/N)∑ₙ sₙⱼ；它可以为负。",
    "How strongly the loss answers to the neuron's output.": "损失对神经元输出的反应有多强。",
    "The mean slope of the loss with its sign.": "损失的平均斜率，带符号。",
    "The size of the first-order change of the loss on removal.": "移除后损失一阶变化的大小。",
    "The modulus of the mean first-order change.": "平均一阶变化的绝对值。",
    "The first-order change of the loss on removal, with its sign.": "移除后损失的一阶变化，带符号。",
    "The mean square of the first-order change of the loss on removal.": "移除后损失一阶变化的均方值。",
    "Half the mean square of the first-order change; ranks exactly like `taylor_squared`.": (
        "一阶变化均方值的一半；排序与 `taylor_squared` 完全相同。"
    ),
    "The second-order change of the loss on removal, by Gauss–Newton.": "移除后损失的二阶变化（高斯–牛顿近似）。",
    "The change of the loss on removal to second order: `taylor_signed` + `curvature`.": (
        "移除后损失到二阶为止的变化：`taylor_signed` + `curvature`。"
    ),
    "What the removal of each neuron, alone, really does to the loss.": "单独移除每个神经元时，损失真正的变化。",
    "The sum of the moduli of a neuron's incoming weights: ∑ᵢ |wⱼᵢ|, bias apart.": (
        "神经元输入权重的绝对值之和：∑ᵢ |wⱼᵢ|，不计偏置。"
    ),
    "The length of a neuron's incoming weights: √(∑ᵢ wⱼᵢ²), bias apart.": (
        "神经元输入权重向量的长度：√(∑ᵢ wⱼᵢ²)，不计偏置。"
    ),
    "How often a neuron puts out anything but zero.": "神经元输出不为零的频率。",
    "A number drawn from [0, 1) for every neuron, or every weight.": "为每个神经元（或权重）从 [0, 1) 中抽取的随机数。",
    "What a neuron's removal costs, to second order, with its readers refitted, when the cheaper ones have gone.": (
        "在代价更低的神经元已移除、读取者已重新拟合时，移除一个神经元的二阶代价。"
    ),
    "The saliencies of a neuron's incoming weights, added: (1/2) ∑ᵢ hⱼᵢ wⱼᵢ², bias apart.": (
        "神经元输入权重的显著性之和：(1/2) ∑ᵢ hⱼᵢ wⱼᵢ²，不计偏置。"
    ),
    "How much the loss of the whole batch answers to a gate c, as a share.": "整批损失对门 c 的反应，以份额表示。",
    "How much of the gradient's flow goes with a weight: w ⊙ H g, with g = ∇L and H the Hessian of L.": (
        "随一个权重失去多少梯度流：w ⊙ H g，其中 g = ∇L，H 是 L 的海森矩阵。"
    ),
    "What flows through a neuron of the loss's fall from an input of zeros to the sample, averaged over samples.": (
        "从全零输入到样本，损失的下降中流经该神经元的部分，对样本取平均。"
    ),
    "The sum of the moduli of the weights that read a neuron.": "读取该神经元的权重的绝对值之和。",
    "The length of the weights that read a neuron.": "读取该神经元的权重向量的长度。",
    "The length of a neuron's incoming weights times that of its outgoing ones.": (
        "神经元输入权重的长度乘以输出权重的长度。"
    ),
    "A weight's share of what its layer holds from it upwards.": "一个权重在本层不小于它的权重中所占的份额。",
    "What of the flow of ones through the moduli of the weights passes a neuron.": (
        "全 1 输入流过权重绝对值时，经过该神经元的部分。"
    ),
    "The importance of the outputs, sent back through the moduli: sⱼ = ∑ₖ |wₖⱼ| sₖ, 1 for every output.": (
        "输出的重要性经权重绝对值传回：sⱼ = ∑ₖ |wₖⱼ| sₖ，每个输出为 1。"
    ),
    "The modulus of the scale by which a batch-norm multiplies a neuron.": "批归一化对该神经元所乘系数的绝对值。",
    "How far a neuron's incoming weights are from those of its group: ∑ᵢ ‖wⱼ − wᵢ‖₂, bias apart.": (
        "神经元输入权重与同组其他神经元的距离：∑ᵢ ‖wⱼ − wᵢ‖₂，不计偏置。"
    ),
    "How much a neuron puts out on average: (1/|P|)∑ₚ aⱼₚ over its entries.": (
        "神经元的平均输出：对其各项 (1/|P|)∑ₚ aⱼₚ。"
    ),
    "The root mean square of what a neuron puts out: √((1/|P|)∑ₚ aⱼₚ²) over its entries.": (
        "神经元输出的均方根：对其各项 √((1/|P|)∑ₚ aⱼₚ²)。"
    ),
    "How much a neuron moves those that read it.": "神经元对读取它的神经元的影响有多大。",
    "A neuron's Shapley value in the game that pays −L: what it saves of the loss, averaged over orders of arrival.": (
        "以 −L 为收益的博弈中神经元的沙普利值：它减少的损失，对加入次序取平均。"
    ),
    # strategies, removal, check
    "Rank the neurons of all scored groups together and drop the lowest (the document's global strategy).": (
        "把所有组的神经元一起排序，去掉得分最低的（文档的全局策略）。"
    ),
    "Drop the same fraction of every group, or what is given for each (the document's layer strategy).": (
        "每组去掉相同的比例，或按各组给定的数目（文档的逐层策略）。"
    ),
    "Drop every neuron whose score lies strictly below a threshold (the document's filter strategy).": (
        "去掉得分严格低于阈值的神经元（文档的过滤策略）。"
    ),
    "Drop the lowest of all scored groups together, and no more of them than it takes to fit a budget.": (
        "在所有组中一起去掉得分最低的，直到刚好满足预算。"
    ),
    "From the lowest score up.": "从得分最低的开始。",
    "The larger, the more it deserves to stay.": "得分越大，越值得保留。",
    "The plan was made elsewhere; it says why itself.": "方案在别处制定；理由由方案自己说明。",
    "Arrays get smaller, so there is less to store and less to compute.": "数组变小，因此要存储和计算的都更少。",
    "The smaller network is run beside the one whose dropped neurons are held at 0.": (
        "把变小的网络与“被去掉的神经元固定为 0”的网络并排运行。"
    ),
    "who goes by the plan that was given": "按给定方案谁被移除",
    "what is left": "剩下的部分",
    "masked ≡ removed": "屏蔽 ≡ 移除",
}
PATTERNS = [
    (
        r"How the loss answers to (\S+): from how it answers to (\S+) \(g\)",
        r"损失对 \1 的反应：由损失对 \2 的反应 (g) 推得",
    ),
    (
        r"How the loss answers to (\S+): it answers to itself with slope g = 1",
        r"损失对 \1 的反应：损失对自身的斜率 g = 1",
    ),
    (r"; L is the mean over the samples\.", "；L 是各样本的平均。"),
    (r"(\S+) is read by (.+): what comes back from all of them is added\.", r"\1 被 \2 读取：从它们传回的都要相加。"),
    (r"They make (.+)\.", r"它们产生 \1。"),
    (r"They go along with (.+)\.", r"它们随 \1 一起走。"),
    (r"They read (.+)\.", r"它们读取 \1。"),
    (
        r"The loss without (.+), less the loss with all neurons: above 0 the network got worse\.",
        r"去掉 \1 后的损失减去全部神经元都在时的损失：大于 0 表示网络变差。",
    ),
    (r"what the choice of (.+) does to the loss", r"\1 的选择使损失如何变化"),
    (r"who goes by (.+)", r"按 \1 谁被移除"),
    (r"(\S+): (rows|columns|entries|filters|channels) (.+) go", r"\1：移除\2 \3"),
    (r"(\S+), all together", r"\1，合计"),
    (r"(\S+), the part through (\S+)", r"\1，经由 \2 的部分"),
    (r"(.+) of sample (\d+)", r"样本 \2 的 \1"),
    (r"(\w+) of (\w+\[\d+\])", r"\2 的 \1"),
]
WORDS = {"rows": "行", "columns": "列", "entries": "项", "filters": "滤波器", "channels": "通道"}


def to_chinese(text: str) -> str | None:
    """A sentence of a step in Chinese; None where there is nothing to translate, or no translation.

    Examples
    --------
    >>> to_chinese("Let positive values through."), to_chinese("dense1[0]")
    ('只让正值通过。', None)
    """
    found = text
    for english in sorted(SENTENCES, key=len, reverse=True):
        found = found.replace(english, SENTENCES[english])
    for pattern, chinese in PATTERNS:
        found = re.sub(pattern, chinese, found)
    for english, chinese in WORDS.items():
        found = found.replace(f"移除{english} ", f"移除{chinese} ")
    found = re.sub(r"(?<=。)\s+", "", found)
    found = re.sub(r"(?<=[\u4e00-\u9fff1])\.$", "。", found) if found != text else found
    return found if found != text else None
