#!/bin/sh
# Stands in for a service's start: start.sh ok|fail|wait LOG
case $1 in
  ok) echo "started" >>"$2" ;;
  fail) echo "no such luck" >&2; exit 7 ;;
  wait)
    echo "waiting $$" >>"$2"
    while :; do sleep 0.05; done
    ;;
esac
