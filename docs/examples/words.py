#!/usr/bin/env python3
"""An agent that asks for permission and then says the message word by word."""
import json, sys

def say(**line):
    print(json.dumps(line), flush=True)

turn = json.loads(sys.stdin.readline())
say(type="approve", id="1", kind="other", operation="repeat what you said")
if json.loads(sys.stdin.readline()).get("accepted"):
    for word in turn["text"].split():
        say(type="text", text=word + " ")
