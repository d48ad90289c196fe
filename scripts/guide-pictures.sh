#!/usr/bin/env bash
# Writes docs/guide/NAME.svg.md for every picture docs/guide/NAME.svg: a Markdown definition of the link `picture` that
# contains the picture as a data URI. rustdoc copies no files, so the documentation needs it. Run it after every change
# of a picture; a test compares the two.
#
#   ./scripts/guide-pictures.sh
set -euo pipefail
cd "$(dirname "$0")/../docs/guide"

for picture in *.svg; do
    content=$(sed -e 's/^ *//' -e 's/%/%25/g' -e 's/#/%23/g' -e 's/&/%26/g' -e 's/</%3C/g' -e 's/>/%3E/g' "$picture" | tr '\n' ' ')
    printf '[picture]: <data:image/svg+xml,%s>\n' "${content% }" > "$picture.md"
done
