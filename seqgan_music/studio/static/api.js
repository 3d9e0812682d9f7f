// Requests to the studio: JSON there and back; what it refuses becomes an Error with its sentence.
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The studio does not answer. Is it still running in the terminal?");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(told.error || `The studio answered ${answer.status}.`), { status: answer.status });
  return told;
}

function post(path, settings) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) });
}

const query = (values) => new URLSearchParams(values).toString();

export const about = () => ask("/api/studio");
export const run = (name) => ask(`/api/run?${query({ name })}`);
export const candidate = (id) => ask(`/api/candidates/${id}`);
export const compose = (settings) => post("/api/compose", settings);
export const like = (settings) => post("/api/like", settings);
export const rewrite = (settings) => post("/api/rewrite", settings);
export const rate = (id, liked) => post(`/api/candidates/${id}/rating`, { liked });
export const cancel = (job) => ask(`/api/jobs/${job}`, { method: "DELETE" });
export const address = (id, suffix, save = false) => `/api/candidates/${id}/piece.${suffix}${save ? "?save=1" : ""}`;

export function upload(file, run) {
  const path = `/api/primers?${query({ name: file.name, run })}`;
  return ask(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file });
}

// Follows a job to its end: `each` gets every state, `arrived` every new candidate's id. Returns the last state.
export async function follow(job, each, arrived) {
  let known = 0;
  for (;;) {
    each(job);
    while (known < job.candidates.length) await arrived(job.candidates[known++]);
    if (!["waiting", "running"].includes(job.state)) return job;
    await new Promise((done) => setTimeout(done, job.state === "waiting" ? 300 : 120));
    job = await ask(`/api/jobs/${job.id}`);
  }
}
