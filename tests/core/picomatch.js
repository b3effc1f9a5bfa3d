// Makes picomatch.json again, from the patterns and paths in it: npm i picomatch@4.0.7 && node picomatch.js
const fs = require('fs')
const picomatch = require('picomatch')
const file = __dirname + '/picomatch.json'
const corpus = JSON.parse(fs.readFileSync(file))
for (const pattern of Object.keys(corpus.patterns)) {
  const matches = picomatch(pattern, {dot: true})
  const bits = corpus.paths.map(path => (matches(path) ? '1' : '0')).join('')
  corpus.patterns[pattern] = BigInt('0b1' + bits).toString(16)
}
fs.writeFileSync(file, JSON.stringify(corpus, null, 1) + '\n')
