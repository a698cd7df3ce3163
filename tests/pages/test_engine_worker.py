"""The messages between a page and the worker that runs its model."""

from tests.pages.node import needs_node

pytestmark = needs_node


def test_each_message_is_answered_by_its_number(job, make_gpt):
    job.call(job.add_model(make_gpt()), "facts")  # makes the engine, whose container is opened
    job.evaluate(
        """(async () => {
          const said = [];
          const scope = { postMessage: (message) => said.push(message) };
          openContainer = (model, weights) => {
            if (model !== "model" || weights !== "weights") throw new Error("damaged");
            return engines.get(0).container;
          };
          serve(scope);
          const send = (id, method, args) => scope.onmessage({ data: { id, method, args } });
          await send(1, "encode", ["a"]);
          await send(2, "open", [{ model: "model", weights: "cut" }]);
          await send(3, "open", [{ model: "model", weights: "weights" }]);
          await send(4, "constructor", []);
          await send(5, "write", [{ ids: [1, 2], count: 2, sampling: { temperature: 0 } }]);
          await send(6, "explain", [[]]);
          await send(7, "stop");
          return said;
        })()"""
    )
    said = job.run()[1]["result"]
    assert said[:2] == [
        {"id": 1, "error": "the model is not open yet"},
        {"id": 2, "error": "damaged"},
    ]
    facts = {"model": "gpt", "word": "unit", "reads_source": False}
    sizes = {"block_size": 7, "num_blocks": 2, "num_heads": 3, "vocab_size": 13}
    assert said[2] == {"id": 3, "result": facts | sizes}
    assert said[3] == {"id": 4, "error": "unknown method constructor"}
    *events, written = said[4:7]
    assert [event["id"] for event in events] == [5, 5]
    assert [event["event"]["id"] for event in events] == written["result"]["ids"]
    assert written["id"] == 5
    assert said[7] == {"id": 6, "error": "the text is empty: give at least one character"}
    assert said[8]["id"] == 7
