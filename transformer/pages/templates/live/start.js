// Starts the page: reads the data, opens the engine, and makes the parts that this model has.

const LONG = 40; // characters of a text that is explained as it is

const GET_ANEW = "Get the file anew from where you have it, or export the model again.";

const rounded = (number) => Number(number.toPrecision(3)).toLocaleString("en");

function modelFacts({ architecture, facts }, info) {
  const { word, num_blocks: numBlocks, num_heads: numHeads } = info;
  const characters = facts.num_characters;
  const said = [
    facts.num_parameters && `${rounded(facts.num_parameters)} parameters`,
    numBlocks ? `${plural(numBlocks, "block")} of ${plural(numHeads, "head")}` : architecture.model,
    `${plural(info.vocab_size, word)} known`,
    `reads ${plural(info.block_size, word)}`,
    facts.steps && `trained for ${plural(facts.steps, "step")}`,
    facts.corpus && `on ${facts.corpus}${characters ? ` (${rounded(characters)} characters)` : ""}`,
    facts.val_loss && `validation loss ${facts.val_loss.toFixed(3)} nats`,
  ];
  return said.filter(Boolean).join(" · ");
}

function showFacts(model, info) {
  find("facts").textContent = modelFacts(model, info);
  find("training").hidden = !model.facts.command;
  find("command").textContent = model.facts.command ?? "";
}

function fail(error, isOpen) {
  find("loading").textContent = "";
  find("fault").hidden = false;
  find("fault").textContent = `This page cannot run its model: ${error.message.replace(/\.$/, "")}.`;
  if (isOpen) return;
  document.querySelector("main").remove();
  document.querySelector("nav").remove();
}

function startText(engine, info, model, text) {
  const writing = new Writing(engine, info);
  const explaining = new Explaining(engine, info);
  find("prompt").value = text;
  const isLong = model.view === "explain" && text.length > LONG;
  const opening = isLong ? explaining.set(text) : explaining.open(text, writing.settings.sampling);
  const parts = [writing.begin(), opening];
  find("explain-this").addEventListener("click", async () => {
    await writing.edit(() => {});
    await explaining.set(await engine.call("decode", writing.text.ids));
    find("typed").focus();
    find("explain").scrollIntoView();
  });
  if (model.snapshots.length) {
    const learning = new Learning(engine, info, model.snapshots, model.curve);
    parts.push(learning.set(text));
  }
  return { writing, explaining, ready: Promise.all(parts) };
}

function startPair(engine, info, text) {
  const translating = new Translating(engine, info);
  return { translating, ready: translating.set(text) };
}

/** Keeps the texts about this kind of model. */
function keepOnly(info, hasSnapshots) {
  const isPair = info.reads_source;
  const hasAttention = info.num_blocks > 0;
  const kept = { text: !isPair, pair: isPair, attention: hasAttention, none: !hasAttention };
  removeOthers({ ...kept, written: false, snapshots: hasSnapshots, bare: !hasSnapshots }, info.word);
  for (const part of document.querySelectorAll("main, nav")) part.hidden = false;
}

async function start() {
  document.body.dataset.started = "true";
  find("loading").textContent = "Reading the model …";
  const packed = await unpacked(find("engine").textContent).catch(() => {
    throw new Error(`its program is damaged. ${GET_ANEW}`);
  });
  const script = new TextDecoder().decode(packed);
  const engine = new EngineCalls(script);
  const texts = { model: find("model").textContent, weights: find("weights").textContent };
  const info = await engine.call("open", texts);
  const model = JSON.parse(texts.model);
  keepOnly(info, model.snapshots.length > 0);
  find("loading").textContent = "";
  showFacts(model, info);
  const text = model.facts.prompt || "";
  const parts = info.reads_source ? startPair(engine, info, text) : startText(engine, info, model, text);
  await parts.ready.catch((error) => fail(error, true));
  if (model.view === "explain") find("explain").scrollIntoView();
  document.body.dataset.ready = "true";
  return parts;
}

const started = start().catch((error) => fail(error, false));
