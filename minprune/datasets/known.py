"""The sets that minprune can fetch: where each lives, what its files must hash to, and its licence.

A hash is of a file's content as its home publishes it. Of MNIST the uncompressed content is hashed, since mirrors have
gzipped it anew; of the others the file itself. Sources of the hashes: the original files; for Fashion-MNIST those
behind the MD5 sums in its README (8d4fb7e6..., 25c81989..., bef4ecab..., bb300cfd...).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    """A file that belongs to a set: its name in the set's folder, its size in bytes and its SHA-256.

    With `unpacked`, size and hash are those of what is inside the gzip file.
    """

    name: str
    size: int
    sha256: str
    unpacked: bool = False


@dataclass(frozen=True)
class Remote:
    """Addresses, the best first, that each deliver all `contents`: the one file itself, or a .zip that holds them."""

    urls: tuple[str, ...]
    contents: tuple[Content, ...]


@dataclass(frozen=True)
class KnownSet:
    """A data set with a home."""

    title: str
    home: str
    licence: str
    remotes: tuple[Remote, ...]


_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)


def _each(bases: tuple[str, ...], *contents: Content) -> tuple[Remote, ...]:
    """One remote per file, at the same name under every base address."""
    return tuple(Remote(tuple(base + content.name for base in bases), (content,)) for content in contents)


SETS: dict[str, KnownSet] = {
    "mnist": KnownSet(
        title="MNIST handwritten digits: 60,000 + 10,000 grey images of 28×28",
        home="http://yann.lecun.com/exdb/mnist/ (no longer serves the files; fetched from mirrors)",
        licence="CC BY-SA 3.0",
        remotes=_each(
            _MNIST,
            Content(
                "train-images-idx3-ubyte.gz",
                47040016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                unpacked=True,
            ),
            Content(
                "train-labels-idx1-ubyte.gz",
                60008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                unpacked=True,
            ),
            Content(
                "t10k-images-idx3-ubyte.gz",
                7840016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                unpacked=True,
            ),
            Content(
                "t10k-labels-idx1-ubyte.gz",
                10008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                unpacked=True,
            ),
        ),
    ),
    "fashion-mnist": KnownSet(
        title="Fashion-MNIST: 60,000 + 10,000 grey images of clothing, 28×28",
        home="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT",
        remotes=_each(
            _FASHION,
            Content(
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            Content(
                "train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            Content(
                "t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            Content(
                "t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        ),
    ),
    "sms-spam": KnownSet(
        title="SMS Spam Collection: 5,574 messages, ham or spam",
        home="https://archive.ics.uci.edu/dataset/228/sms+spam+collection",
        licence="CC BY 4.0",
        remotes=(
            Remote(
                ("https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",),
                (
                    Content(
                        "SMSSpamCollection", 477907, "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
                    ),
                ),
            ),
        ),
    ),
    "tic-tac-toe": KnownSet(
        title="Tic-Tac-Toe endgame: 958 boards, does x win?",
        home="https://archive.ics.uci.edu/dataset/101/tic+tac+toe+endgame",
        licence="CC BY 4.0",
        remotes=(
            Remote(
                (
                    "https://archive.ics.uci.edu/static/public/101/tic+tac+toe+endgame.zip",
                    "https://archive.ics.uci.edu/ml/machine-learning-databases/tic-tac-toe/tic-tac-toe.data",
                ),
                (
                    Content(
                        "tic-tac-toe.data", 25866, "a996a756484d0cf8cbad1680d823aadbfcff8ae2d78c450e6999362d580301c5"
                    ),
                ),
            ),
        ),
    ),
    "movielens-small": KnownSet(
        title="MovieLens latest-small (September 2018): 100,836 ratings of 9,724 films by 610 users",
        home="https://grouplens.org/datasets/movielens/latest/",
        licence="research use, no commercial use, redistribution under the same terms; see its README.txt",
        remotes=(
            Remote(
                ("https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",),
                (
                    Content("movies.csv", 494431, "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07"),
                    Content("ratings.csv", 2483723, "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646"),
                    Content("README.txt", 8342, "63d22ac138e80fae37021797ed8e1b9424b5239dc576a137422adf783ae3f404"),
                ),
            ),
        ),
    ),
}
