"""`python -m audit_service.front`, for `serve` and not for people."""

import argparse

import uvloop

from audit_service import json_log, settings
from audit_service.front.run import run_front

parser = argparse.ArgumentParser(prog="audit_service.front")
parser.add_argument("--address", type=int, required=True, help="descriptor of the socket that listens")
parser.add_argument("--channel", type=int, required=True, help="descriptor of the channel to the writer's process")
parser.add_argument("--inside", required=True, help="the Unix socket on which that answers what is passed on")
chosen = parser.parse_args()
json_log.set_up()
uvloop.run(run_front(settings.load(), chosen.address, chosen.channel, chosen.inside))
