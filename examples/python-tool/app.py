"""A tool in Python: adds up amounts of money, without the errors of binary fractions."""

import json
from decimal import Decimal, InvalidOperation

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.tool import ToolInfo, ToolOutput
from wit_world.imports.common import Fault, FaultCode, LogLevel
from wit_world.imports.log import log

PARAMETERS = {
    "type": "object",
    "properties": {
        "amounts": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": 1000,
            "description": 'such as ["0.10", "0.20"]',
        },
    },
    "required": ["amounts"],
}


class Tool(exports.Tool):
    def tools(self):
        return [ToolInfo("sum_amounts", "Adds up amounts of money.", json.dumps(PARAMETERS), True)]

    def call(self, name, arguments, context):
        total = sum((amount(text) for text in json.loads(arguments)["amounts"]), Decimal(0))
        log(LogLevel.DEBUG, "added up")
        return ToolOutput(str(total), json.dumps({"total": str(total)}), [])


def amount(text):
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        # The model reads this.
        raise Err(Fault(FaultCode.BAD_INPUT, f"{text!r} is no amount: write it like 12.50"))
    return number
