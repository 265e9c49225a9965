#!/bin/sh
# images/verapdf/fetch.sh FOLDER: puts veraPDF's jar into FOLDER, from where Maven finds its packages, if it is the one that
# `artifact` names by its SHA-256. In an image's build Maven is told this machine's settings and certificates, as pip is; neither is
# written into the image.
set -eu
here=$(dirname "$0")
. "$here/artifact"
folder=$1
settings=/run/cloister-build/maven.xml
trusted=/run/cloister-build/java-certificates
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
set -- --quiet --batch-mode
[ ! -f "$settings" ] || set -- "$@" --settings "$settings"
[ ! -f "$trusted" ] || set -- "$@" "-Djavax.net.ssl.trustStore=$trusted"
mvn "$@" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy "-Dartifact=$coordinates" \
  "-DoutputDirectory=$work" -Dmdep.stripVersion=true "-Dmaven.repo.local=$work/repository"
mv "$work/$(echo "$coordinates" | cut -d: -f2).jar" "$work/verapdf.jar"
echo "$sha256  $work/verapdf.jar" | sha256sum --check --status || {
  echo "$coordinates is not the file whose SHA-256 is $sha256: nothing was installed" >&2
  exit 1
}
mkdir -p "$folder"
install -m 0644 "$work/verapdf.jar" "$folder/verapdf.jar"
