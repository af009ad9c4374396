// Calls PagerDuty's client for JavaScript as its README does. A line in is a call, {name, with: [...]}; a line out is
// what became of it, {status, body} or {error}. `api.<method>` is of the REST API, all else sends events.
'use strict';

const {createInterface} = require('node:readline');
const pagerduty = require('@pagerduty/pdjs');

async function called({name, with: given}) {
  try {
    const [first, ...rest] = given;
    const answer = name.startsWith('api.')
      ? await pagerduty.api(first)[name.slice('api.'.length)](...rest)
      : await pagerduty[name](first);
    return {status: answer.status, body: answer.data};
  } catch (error) {
    return {error: error.message ?? `an answer that is no JSON, ${error.status}`};
  }
}

(async () => {
  for await (const line of createInterface({input: process.stdin})) {
    console.log(JSON.stringify(await called(JSON.parse(line))));
  }
})();
