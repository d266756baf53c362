#!/bin/sh
# An agent in plain mode: the message is standard input, what is printed is the answer.
message=$(cat)
case $message in
  date) date -u ;;
  files) ls ;;
  '') echo 'You said nothing.' ;;
  *) printf 'You said: %s\n' "$message" ;;
esac
