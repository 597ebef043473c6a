"""Neurons: who is tied to whom, and which entries of which arrays are theirs, in every wiring."""

import numpy as np
import pytest
from networks import EXAMPLES, inputs

import minprune as mp
from minprune.errors import StructureError
from minprune.layers import Gate, Select, Shift
from minprune.neurons import check_neuron, find_groups, fingerprint, hidden, is_input, staying


def owners(net: mp.Graph, group: str, role: str) -> dict[str, list[int]]:
    """``{array[axis]: neuron of every position}``."""
    return {f"{s.array}[{s.axis}]": s.owner.tolist() for s in getattr(net.neurons[group], role)}


def reads(net: mp.Graph, group: str) -> dict[str, tuple[tuple[str, ...], list[int]]]:
    return {read.value: (read.readers, read.owner.tolist()) for read in net.neurons[group].reads}


def sizes(net: mp.Graph) -> dict[str, int]:
    return {name: group.size for name, group in net.neurons.items()}


def test_a_dense_neuron_is_a_row_a_bias_and_a_column() -> None:
    net = EXAMPLES["mlp"]()
    assert sizes(net) == {"input": 4, "dense1": 5, "dense2": 4, "dense3": 3}
    assert owners(net, "dense1", "produced") == {"dense1.W[0]": [0, 1, 2, 3, 4], "dense1.b[0]": [0, 1, 2, 3, 4]}
    assert owners(net, "dense1", "consumed") == {"dense2.W[1]": [0, 1, 2, 3, 4]}
    assert owners(net, "dense1", "carried") == {}
    assert reads(net, "dense1") == {"relu1": (("dense2",), [0, 1, 2, 3, 4])}
    assert owners(net, "input", "consumed") == {"dense1.W[1]": [0, 1, 2, 3]}
    assert repr(net.neurons["dense3"]) == "<dense3: 3 neurons; produced dense3.W[0], dense3.b[0]; output>"


def test_without_a_bias_a_neuron_is_a_row_and_a_column() -> None:
    assert owners(EXAMPLES["mlp without bias"](), "dense1", "produced") == {"dense1.W[0]": [0, 1, 2, 3, 4]}


def test_batch_norm_carries_an_entry_and_flatten_makes_a_block_of_columns() -> None:
    net = EXAMPLES["concat, flatten"]()
    assert owners(net, "conv2", "carried") == {
        f"batchnorm1.{short}[0]": [0, 1] for short in ("gamma", "beta", "mean", "var")
    }
    blocks = [j for j in (0, 1, 2, -1, -1) for _ in range(9)]
    assert owners(net, "conv1", "consumed") == {"dense1.W[1]": blocks}
    assert owners(net, "conv2", "consumed") == {"dense1.W[1]": [-1] * 27 + [0] * 9 + [1] * 9}
    assert net.neurons["conv2"].consumed[0].positions(1).tolist() == list(range(36, 45))


def test_a_residual_sum_ties_the_neurons_of_both_ways() -> None:
    net = EXAMPLES["residual"]()
    assert sizes(net) == {"input": 3, "dense1": 4, "dense2": 5, "dense4": 2}
    assert [*owners(net, "dense1", "produced")] == ["dense1.W[0]", "dense1.b[0]", "dense3.W[0]", "dense3.b[0]"]
    assert [*owners(net, "dense1", "consumed")] == ["dense2.W[1]", "dense4.W[1]"]
    assert [*reads(net, "dense1")] == ["relu1", "relu3"]


def test_a_projected_shortcut_is_tied_to_the_body_and_not_to_what_it_reads() -> None:
    net = EXAMPLES["residual, projected"]()
    assert [*owners(net, "conv2", "produced")] == ["conv2.W[0]", "conv2.b[0]", "conv3.W[0]"]
    assert [*owners(net, "conv1", "consumed")] == ["conv2.W[1]", "conv3.W[1]"]
    assert reads(net, "conv1") == {"relu1": (("conv2", "conv3"), [0, 1, 2])}


def test_a_residual_around_the_input_ties_features_to_neurons() -> None:
    net = EXAMPLES["residual around the input"]()
    assert [*owners(net, "input", "produced")] == ["dense2.W[0]", "dense2.b[0]"]
    assert is_input(net, net.neurons["input"])
    assert hidden(net) == ["dense1"]


def test_a_depthwise_filter_belongs_to_the_channel_it_carries_on() -> None:
    net = EXAMPLES["depthwise with multiplier 2"]()
    assert owners(net, "conv1", "produced") == {
        "conv1.W[0]": [0, 1, 2],
        "conv1.b[0]": [0, 1, 2],
        "conv2.W[0]": [0, 0, 1, 1, 2, 2],
        "conv2.b[0]": [0, 0, 1, 1, 2, 2],
    }
    assert owners(net, "conv1", "carried")["batchnorm1.gamma[0]"] == [0, 0, 1, 1, 2, 2]
    assert owners(net, "conv1", "consumed") == {"conv3.W[1]": [0, 0, 1, 1, 2, 2]}
    assert "conv2" not in net.neurons


def test_a_grouped_convolution_ties_the_same_channel_of_every_block() -> None:
    net = EXAMPLES["grouped"]()  # 6 channels in, 4 out, in 2 blocks
    assert owners(net, "conv1", "produced")["conv1.W[0]"] == [0, 1, 2, 0, 1, 2]
    assert owners(net, "conv1", "consumed") == {"conv2.W[1]": [0, 1, 2]}
    assert owners(net, "conv2", "produced")["conv2.W[0]"] == [0, 1, 0, 1]
    assert reads(net, "conv1") == {"relu1": (("conv2",), [0, 1, 2, 0, 1, 2])}


def test_a_value_joined_with_itself_is_read_twice_by_the_same_layer() -> None:
    net = EXAMPLES["concat with itself"]()
    assert owners(net, "dense1", "consumed") == {"dense2.W[1]": [0, 1, 2, 3, 0, 1, 2, 3]}


def test_a_value_added_to_itself_is_tied_to_nobody_else() -> None:
    net = EXAMPLES["added to itself"]()
    assert sizes(net) == {"input": 3, "h": 4, "y": 2}
    assert owners(net, "h", "consumed") == {"y.W[1]": [0, 1, 2, 3]}


def test_a_sum_that_is_the_output_keeps_all_its_neurons() -> None:
    net = EXAMPLES["tied to the output"]()
    assert net.neurons["dense1"].stays == "output"
    assert hidden(net) == ["dense2"]


def test_what_a_softmax_reads_stays_and_the_output_says_so_first() -> None:
    assert EXAMPLES["softmax inside"]().neurons["dense1"].stays == "softmax1 computes with all of them at once"
    assert EXAMPLES["softmax output"]().neurons["dense2"].stays == "output"


def test_a_group_can_be_made_by_layers_none_of_which_makes_all_of_it() -> None:
    net = EXAMPLES["tied across concat"]()
    assert sizes(net) == {"input": 3, "a": 5, "y": 2}
    made = owners(net, "a", "produced")
    assert [made[f"{layer}.W[0]"] for layer in "abcd"] == [[0, 1], [2, 3, 4], [0, 1, 2], [3, 4]]


def test_several_inputs_are_groups_under_their_own_names() -> None:
    net = EXAMPLES["image and vector"]()
    assert sizes(net) == {"image": 1, "vector": 3, "c": 3, "h": 4, "y": 2}
    assert [is_input(net, group) for group in net.neurons.values()] == [True, True, False, False, False]
    assert hidden(net) == ["c", "h"]
    assert owners(net, "h", "consumed") == {"y.W[1]": [-1] * 27 + [0, 1, 2, 3]}


def test_inputs_that_are_added_are_one_group() -> None:
    net = EXAMPLES["tied inputs"]()
    assert sizes(net) == {"u": 3, "h": 4, "y": 2}
    assert set(net.neurons["u"].channels) >= {"u", "v", "s"}


def test_selected_channels_are_carried_and_the_others_still_produced() -> None:
    net = EXAMPLES["selects"]()
    assert sizes(net) == {"input": 4, "dense1": 5, "dense2": 2}
    assert owners(net, "dense1", "carried") == {"select1.index[0]": [4, 0, 2, 1], "select2.index[0]": [2, 4, 1]}
    assert owners(net, "dense1", "consumed") == {"dense2.W[1]": [2, 4, 1]}


def test_features_that_nobody_reads_are_no_neurons() -> None:
    net = mp.Sequential(Select(4, 2), mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    net.buffers["select1.index"] = [3, 1]
    groups = find_groups(net)  # anew: the walk reads the indices
    assert groups["input"].size == 2
    assert groups["input"].channels["input"].tolist() == [-1, 0, -1, 1]


def test_the_sum_per_neuron_runs_over_places_and_channels() -> None:
    net = EXAMPLES["grouped"]()
    (read,) = net.neurons["conv1"].reads
    entries = np.arange(2 * 6 * 3 * 3, dtype=float).reshape(2, 6, 3, 3)
    by_hand = [[entries[n, [j, j + 3]].sum() for j in range(3)] for n in range(2)]
    np.testing.assert_array_equal(read.per_neuron(entries, 3), by_hand)
    (plain,) = EXAMPLES["cnn"]().neurons["conv1"].reads
    np.testing.assert_array_equal(plain.per_neuron(np.ones((2, 4, 3, 3)), 4), np.full((2, 4), 9))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_entry_of_every_array_belongs_to_exactly_one_neuron(name: str) -> None:
    net = EXAMPLES[name]()
    claimed: dict[tuple[str, int], np.ndarray] = {}
    for group in net.neurons.values():
        for piece in group.slices:
            count = claimed.setdefault((piece.array, piece.axis), np.zeros(len(piece.owner), dtype=int))
            count += piece.owner >= 0
            assert set(piece.owner.tolist()) <= {-1, *range(group.size)}
    assert all((count == 1).all() for count in claimed.values())
    for_all = {f"{node}.{found.layer.array}" for node, found in net.nodes.items() if _serves_all(found.layer)}
    rest = {a for a in net.arrays if not a.endswith("gate.m")} - for_all
    assert {array for array, axis in claimed if axis == 0} == rest
    assert {array for array, axis in claimed if axis == 1} == {
        f"{node}.W" for node, found in net.nodes.items() if found.layer.consumes and not _depthwise(found.layer)
    }


def _serves_all(layer: object) -> bool:
    """Whether it is a constant that no channel has for itself."""
    return isinstance(layer, Shift) and not layer.carries


def _depthwise(layer: object) -> bool:
    return getattr(layer, "depthwise", False)


@pytest.mark.parametrize("name", EXAMPLES)
def test_changing_a_neurons_own_entries_moves_its_channels_alone(name: str) -> None:
    """Ownership of rows, checked by computing: the source of a group moves only where the neuron's rows did."""
    net = EXAMPLES[name]()
    x = net.take(inputs(net))
    before = net.run(x, net.arrays)
    for group in net.neurons.values():
        if is_input(net, group) or group.size < 2 or not group.produced:
            continue
        changed = net.copy()
        (row,) = [p for p in group.produced if p.array == f"{group.source}.W"]
        positions = row.positions(1)
        changed.params[row.array][positions] += 1.0
        after = changed.run(x, changed.arrays)
        moved = np.abs(after[group.source] - before[group.source])
        moved = moved.max(axis=(0, *range(2, moved.ndim))) > 0
        assert (np.flatnonzero(moved) == positions).all()


def test_staying_positions_meet_where_two_groups_share_an_axis() -> None:
    net = EXAMPLES["concat, flatten"]()
    stays = staying(net, {"conv1": [0, 2], "conv2": [1]})
    assert stays["dense1.W"][1].tolist() == [*range(9, 18), *range(27, 36)]
    assert stays["batchnorm1.var"][0].tolist() == [0]
    assert staying(net, {}) == {}


def test_the_fingerprint_is_of_structure_and_not_of_weights_or_gates() -> None:
    net = EXAMPLES["cnn"]()
    other = net.copy()
    other.params["conv1.b"] = np.zeros(4)
    masked = mp.mask(net, mp.Plan({"conv1": [0]}))
    assert fingerprint(net) == fingerprint(other) == fingerprint(masked) == fingerprint(net.astype(np.float32))
    prints = {fingerprint(make()) for make in EXAMPLES.values()}
    assert len(prints) == len(EXAMPLES) - 3  # the four chains of 3-5-2 differ in nothing that a plan could touch
    assert fingerprint(mp.remove(net, mp.Plan({"conv1": [0]}))) != fingerprint(net)


def test_a_gate_upon_a_gate_leaves_the_groups_as_they_are() -> None:
    net = EXAMPLES["residual"]()
    masked = mp.mask(mp.mask(net, mp.Plan({"dense1": [0]})), mp.Plan({"dense1": [1], "dense2": [2]}))
    assert sizes(masked) == sizes(net)
    assert (
        sum(isinstance(node.layer, Gate) for node in masked.nodes.values()) == 3
    )  # behind relu1, relu2, relu3; no input was masked


def test_an_open_input_shape_is_asked_for() -> None:
    net = mp.Sequential(mp.ReLU(), mp.Flatten())
    with pytest.raises(StructureError, match="the layers leave the input's shape open; give input_shape="):
        _ = net.neurons


def test_a_node_called_input_beside_another_input_is_refused() -> None:
    net = mp.Graph({"input": (mp.Dense(3, 4), "x"), "y": (mp.Dense(4, 2), "input")})
    with pytest.raises(StructureError, match="input: the input's group bears this name; give the node another one"):
        _ = net.neurons


def test_a_neuron_that_is_not_there_is_refused_by_name() -> None:
    net = EXAMPLES["mlp"]()
    assert check_neuron(net, "dense1", 4).name == "dense1"
    assert check_neuron(net, "dense1", np.int64(0)).name == "dense1"
    with pytest.raises(StructureError, match="no group is called 'relu1'; there are input, dense1, dense2, dense3"):
        check_neuron(net, "relu1", 0)
    for j in (5, -1, 1.0, "0", slice(0, 2)):
        with pytest.raises(StructureError, match=r"dense1: no neuron .*; expected 0 to 4"):
            check_neuron(net, "dense1", j)  # type: ignore[arg-type]
