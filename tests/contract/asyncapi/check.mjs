// Validates the AsyncAPI document with AsyncAPI's own parser, and with Ajv each JSON Schema and each golden record
// against its schema: what a producer in JavaScript would do. Ends with 1 and the problems if there are any.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asyncapi from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import formats from "ajv-formats";

const ADVICE = 2; // severities from here on are advice, such as a newer version of AsyncAPI
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const read = (file) => readFileSync(file, "utf8");
const generated = path("../../../schemas/generated/");
const golden = path("../golden/v1/");
const problems = [];
const known = new Set();

const document = `${generated}asyncapi.json`;
for (const { severity, path: at, message } of await new asyncapi.Parser().validate(read(document), { source: document }))
  if (severity < ADVICE) problems.push(`asyncapi.json: ${at.join(".")}: ${message}`);

const ajv = new Ajv2020.default({ strict: true, strictRequired: false, allErrors: true });
formats.default(ajv);
const schemas = readdirSync(generated).filter((name) => name.endsWith(".schema.json"));
for (const name of schemas)
  try {
    ajv.addSchema(JSON.parse(read(generated + name)), name.split(".")[0]);
    ajv.getSchema(name.split(".")[0]);
    known.add(name.split(".")[0]);
  } catch (error) {
    problems.push(`${name}: ${error.message}`);
  }

const records = readdirSync(golden).map((name) => [name, JSON.parse(read(golden + name))]);
const bodies = records.filter(([, { record }]) => record.body !== null);
for (const [name, { record, expected }] of bodies)
  if (known.has(expected.event) && !ajv.validate(expected.event, JSON.parse(record.body)))
    problems.push(`${name}: ${ajv.errorsText()}`);

problems.forEach((problem) => console.error(problem));
console.log(`asyncapi.json, ${schemas.length} schemas, ${bodies.length} golden records: ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;
