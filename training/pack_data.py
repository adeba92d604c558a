"""Pack what recipes read for a machine that has neither the imagery nor the internet.

    python training/pack_data.py pack/ training/recipes/satellite-rgbn-x4.yaml --data imagery/
    python training/pack_data.py pack/ training/recipes/satellite-{rrdbnet,esrgan}-x4.yaml --data imagery/ --networks

and there, with the same recipes:

    SR_GEO_WEIGHTS=pack/weights sr-geo train training/recipes/satellite-rgbn-x4.yaml --data pack/ --device cuda

Of rasters only the rows, columns and bands that a recipe names are packed, of pictures only its splits, all without loss;
samples are drawn from both folders and must be equal. --networks adds the perceptual networks of the recipes, in halves.
What `init` names is not packed: carry the folder of that run beside it. Where a pack must be smaller, leave rows out in both places:
--set "sources.1.rows=[0, 1600]".
"""

import argparse
import os
import sys
from pathlib import Path

from sr_geo.errors import SrGeoError
from sr_geo.train.packing import pack, pack_networks, size_of
from sr_geo.train.recipe import load_recipe


def main() -> None:
    """Pack, and say how large it has become."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="folder to make")
    parser.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE.yaml")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SR_GEO_DATA", "data")), help="root of the imagery ($SR_GEO_DATA)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `sr-geo train`, for all recipes")
    parser.add_argument("--networks", action="store_true", help="pack the perceptual networks, too")
    parser.add_argument("--most-mib", type=float, metavar="N", help="fail where it becomes larger")
    arguments = parser.parse_args()
    try:
        recipes = [load_recipe(path, tuple(arguments.set)) for path in arguments.recipes]
        pack(recipes, arguments.data, arguments.target)
        told = pack_networks(recipes, arguments.target / "weights") if arguments.networks else []
    except SrGeoError as error:
        sys.exit(f"error: {error}")
    for line in told:
        print(line)
    size = size_of(arguments.target) / 2**20
    print(f"{arguments.target}: {size:.1f} MiB")
    if arguments.most_mib is not None and size > arguments.most_mib:
        sys.exit(f"error: more than {arguments.most_mib:g} MiB; pack fewer recipes or rows (--set, here and there)")


if __name__ == "__main__":
    main()
