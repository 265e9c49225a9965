#!/bin/sh
# veraPDF on the PDF at standard input; its report as JSON on standard output, its exit code: 0 compliant, 1 not, 7 no PDF.
# The jar lies beside this file. Memory is bounded here and ends the program, not the validation only: half a verdict is none.
exec java -Xmx512m -XX:+ExitOnOutOfMemoryError -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -cp "$(dirname "$0")/verapdf.jar" org.verapdf.apps.GreenfieldCliWrapper \
  --format json --loglevel 0 --maxfailuresdisplayed 1 --flavour "$1"
