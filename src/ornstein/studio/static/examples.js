// Commands as the manual writes them, read as values of the form.

/** The words of a line of the shell: quotes hold together what stands between them, a backslash the next character. */
export function split(line) {
  const words = [];
  const word = /(?:[^\s"'\\]+|"(?:[^"\\]|\\.)*"|'[^']*'|\\.)+/gs;
  for (const [found] of line.matchAll(word)) {
    words.push(
      found.replace(
        /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/gs,
        (_, double, single, one) => double?.replace(/\\(.)/g, "$1") ?? single ?? one,
      ),
    );
  }
  return words;
}

/** The model and the values of "sample MODEL --flag value …"; values that are no field's are in `others`. */
export function read(line, fields) {
  const [, model, ...rest] = split(line);
  const known = new Map(fields.map((field) => [field.option, field]));
  const values = {};
  const others = [];
  while (rest.length) {
    const [option, ...said] = rest.shift().split("=");
    const field = known.get(option) ?? known.get(option.replace(/^--no-/, "--"));
    const most = !field || field.many ? Infinity : field.kind === "switch" ? 0 : (field.count ?? 1);
    const taken = said.length ? [said.join("=")] : [];
    while (taken.length < most && rest.length && !rest[0].startsWith("--")) taken.push(rest.shift());
    if (!field) others.push(option);
    else if (field.kind === "switch") values[field.name] = option === field.option;
    else values[field.name] = field.many || field.count ? taken : taken[0];
  }
  return { model, values, others };
}

/** A line as an example of the form: the model, and the flags that are fields. */
export function written(line, fields) {
  const known = new Set(fields.flatMap(({ option }) => [option, option.replace("--", "--no-")]));
  const [command, ...flags] = line.split(/ (?=--)/);
  return [command.replace(/^\w+ /, ""), ...flags.filter((flag) => known.has(flag.split(/[ =]/)[0]))].join(" ");
}
