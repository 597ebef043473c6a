"""What the commands do. Each takes the parsed arguments and returns a text for people and content for programs."""

from .benching import bench as bench
from .exploring import explore as explore
from .grading import grade as grade
from .networks import compare as compare
from .networks import demo as demo
from .networks import evaluate as evaluate
from .networks import train as train
from .networks import verify as verify
from .pruning import prune as prune
from .removing import choose as choose
from .removing import reduce as reduce
from .removing import scan as scan
from .scoring import agreement as agreement
from .scoring import explain as explain
from .scoring import score as score
from .showing import data as data
from .showing import formulas as formulas
from .showing import listing as listing
from .showing import worked as worked
from .stepping import step as step
from .warming import warmup as warmup
