# SPDX-License-Identifier: MIT OR Apache-2.0
"""json-check.py SCHEMA FILE: each line of FILE is a JSON object that SCHEMA allows."""

import json
import sys

import jsonschema


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def problems(validator, lines):
    """Yields (line number, what is wrong)."""
    for number, line in enumerate(lines, 1):
        try:
            # Python would take NaN and Infinity; no other reader does.
            record = json.loads(line, parse_constant=refuse_constant)
        except ValueError as error:
            yield number, f"not JSON: {error}"
            continue
        for error in validator.iter_errors(record):
            where = "/".join(str(part) for part in error.absolute_path)
            yield number, f"{where or 'record'}: {error.message}"


def main(schema_path, path):
    with open(schema_path, encoding="utf-8") as file:
        schema = json.load(file)
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    with open(path, encoding="utf-8", newline="\n") as file:
        # Not splitlines(): strings may hold U+2028 and its like unescaped.
        lines = file.read().removesuffix("\n").split("\n")
    if lines == [""]:
        sys.exit(f"{path}: no record")
    found = list(problems(validator_class(schema), lines))
    for number, text in found:
        print(f"{path}:{number}: {text}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
